module github.com/weirstream/weir/stores/rocksdb

go 1.26.0

require github.com/linxGnu/grocksdb v1.7.14 // indirect
