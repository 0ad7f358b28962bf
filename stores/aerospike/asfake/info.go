package asfake

import (
	"encoding/base64"
	"fmt"
	"strings"
)

const (
	nodeName       = "BB9FA4E00000001"
	partitionBytes = 4096 / 8
)

// info answers the lines of an info request.
func (s *Server) info(body []byte) []byte {
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(string(body)), "\n") {
		if line != "" {
			fmt.Fprintf(&out, "%s\t%s\n", line, s.infoValue(line))
		}
	}
	return []byte(out.String())
}

func (s *Server) infoValue(line string) string {
	name, args, _ := strings.Cut(line, ":")
	switch name {
	case "node":
		return nodeName
	case "build", "version":
		return "8.1.0.0"
	case "edition":
		return "Aerospike Community Edition"
	case "features":
		return "batch-any;pscans;pquery;query-show"
	case "cluster-name":
		return s.opts.ClusterName
	case "partition-generation", "peers-generation", "rebalance-generation":
		return "1"
	case "replicas":
		all := make([]byte, partitionBytes)
		for i := range all {
			all[i] = 0xff
		}
		return fmt.Sprintf("%s:0,1,%s;", s.opts.Namespace, base64.StdEncoding.EncodeToString(all))
	case "peers-clear-std", "peers-tls-std", "peers-clear-alt", "peers-tls-alt":
		return "0,3000,[]"
	case "service-clear-std", "service-tls-std", "service-clear-alt", "service-tls-alt", "service":
		return s.Addr()
	case "namespaces":
		return s.opts.Namespace
	case "rack-ids":
		return s.opts.Namespace + ":0"
	case "truncate":
		return s.truncateLine(args)
	case "status":
		return "ok"
	default:
		return "ERROR:4:unrecognized command"
	}
}

// truncateLine removes the records of a set. They are on the device still.
func (s *Server) truncateLine(args string) string {
	var namespace, set string
	for _, arg := range strings.Split(args, ";") {
		name, v, _ := strings.Cut(arg, "=")
		switch name {
		case "namespace":
			namespace = v
		case "set":
			set = v
		}
	}
	if namespace != s.opts.Namespace {
		return "ERROR:4:unknown namespace"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, r := range s.live {
		if set == "" || r.set == set {
			delete(s.live, d)
		}
	}
	return "ok"
}
