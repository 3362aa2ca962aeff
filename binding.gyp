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
          "sources": ["native/lock_posix.cc", "native/wait_linux.cc", "native/process_linux.cc", "native/exec_linux.cc"],
          "defines": ["_GNU_SOURCE", "_FILE_OFFSET_BITS=64"],
          "ldflags": ["-Wl,-z,nodelete", "-Wl,--gc-sections", "-pthread"]
        }]
      ]
    }
  ]
}
