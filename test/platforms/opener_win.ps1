# opener_win.c for a Windows without a compiler; it ends when it is ended, after a minute at most.
# A deletion here is one that comes with the closing, which denies others the file all the same.
param(
  [Parameter(Mandatory)][ValidateSet('unshared', 'deleted', 'locked')][string]$Way,
  [Parameter(Mandatory)][string]$Path,
  [int]$Milliseconds = 60000
)
$ErrorActionPreference = 'Stop'
$share = @{ unshared = 'None'; deleted = 'ReadWrite, Delete'; locked = 'ReadWrite, Delete' }[$Way]
$option = @{ unshared = 'None'; deleted = 'DeleteOnClose'; locked = 'None' }[$Way]
$file = [IO.FileStream]::new($Path, 'OpenOrCreate', 'ReadWrite', $share, 1, $option)
if ($Way -eq 'locked') { $file.Lock(0, 1) }
[Console]::Out.WriteLine('open')
[Console]::Out.Flush()
Start-Sleep -Milliseconds $Milliseconds
$file.Close()
