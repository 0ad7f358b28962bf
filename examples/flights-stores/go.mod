module github.com/weirstream/weir/examples/flights-stores

go 1.26.0
