//! Write-ahead log, snapshots, audit segments and their index.
