module github.com/weirstream/weir/integration

go 1.26.0
