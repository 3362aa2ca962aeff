{
  "targets": [
    {
      "target_name": "kernel_lock",
      "sources": ["native/addon.cc", "native/waiters.cc", "native/record.cc"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_DEPRECATED", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags_cc!": ["-std=gnu++14", "-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-fvisibility=hidden", "-fvisibility-inlines-hidden"],
      "conditions": [
        ["OS=='linux'", {
          "sources": ["native/lock_posix.cc", "native/file_mode_linux.cc", "native/home_posix.cc", "native/signals_posix.cc", "native/wait_posix.cc", "native/wait_linux.cc", "native/condition_linux.cc", "native/process_linux.cc", "native/exec_linux.cc", "native/state_linux.cc", "native/watch_posix.cc", "native/marks_linux.cc", "native/bond_linux.cc", "native/addon_linux.cc"],
          "defines": ["_GNU_SOURCE", "_FILE_OFFSET_BITS=64"],
          "ldflags": ["-Wl,-z,nodelete", "-Wl,--gc-sections", "-pthread"]
        }],
        ["OS=='mac'", {
          "sources": [
            "native/lock_posix.cc", "native/file_mode_mac.cc", "native/home_posix.cc", "native/signals_posix.cc", "native/wait_posix.cc", "native/wait_mac.cc", "native/condition_std.cc", "native/process_mac.cc", "native/facts_mac.cc",
            "native/exec_mac.cc", "native/watch_posix.cc", "native/marks_mac.cc", "native/addon_mac.cc",
            "native/addon_facts.cc"
          ],
          "xcode_settings": {
            "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
            "MACOSX_DEPLOYMENT_TARGET": "10.15",
            "OTHER_CPLUSPLUSFLAGS": ["-Wall", "-Wextra", "-fvisibility=hidden", "-fvisibility-inlines-hidden"],
            "OTHER_LDFLAGS": ["-Wl,-dead_strip"]
          }
        }],
        ["OS=='win'", {
          "sources": [
            "native/lock_win.cc", "native/wait_win.cc", "native/condition_std.cc", "native/process_win.cc", "native/lock_facts_win.cc",
            "native/process_facts_win.cc", "native/command_line_win.cc", "native/job_win.cc",
            "native/folders_win.cc", "native/held_win.cc", "native/watch_win.cc", "native/text_win.cc", "native/wine.cc", "native/addon_win.cc",
            "native/addon_facts.cc"
          ],
          "libraries": ["-lole32.lib", "-lshell32.lib", "-ladvapi32.lib"],
          "defines": ["UNICODE", "NOMINMAX", "WIN32_LEAN_AND_MEAN"],
          "msvs_settings": { "VCCLCompilerTool": { "AdditionalOptions": ["/std:c++17"] } }
        }]
      ]
    }
  ]
}
