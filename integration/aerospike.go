package integration

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/weirstream/weir/integration/broker"
)

// The settings of a run, as make integration sets them.
const (
	hostsVariable          = "AEROSPIKE_HOSTS"
	aerospikeImageVariable = "WEIR_AEROSPIKE_IMAGE"
)

// Aerospike returns the addresses of a real server: those of AEROSPIKE_HOSTS,
// or that of a container of WEIR_AEROSPIKE_IMAGE. It skips the test, with what
// is missing, where there is neither, or the usual image cannot be had. The test
// must not be parallel.
func Aerospike(t *testing.T) []string {
	t.Helper()
	if named := os.Getenv(hostsVariable); named != "" {
		return strings.Split(named, ",")
	}
	image := os.Getenv(aerospikeImageVariable)
	if image == "" {
		t.Skipf("no Aerospike: %s and %s are not set; make integration sets the image", hostsVariable, aerospikeImageVariable)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	addr, err := aerospikeContainer(ctx, t, image)
	if err != nil {
		lacking(t, "Aerospike", fmt.Errorf("%w; %s is not set", err, hostsVariable), aerospikeImageVariable, image == usualAerospike)
	}
	// The processes that a suite kills find the same server.
	t.Setenv(hostsVariable, addr)
	return []string{addr}
}

const aerospikePort = "3000/tcp"

func aerospikeContainer(ctx context.Context, t *testing.T, image string) (string, error) {
	t.Helper()
	if err := broker.HaveImage(ctx, image); err != nil {
		return "", err
	}
	c, err := testcontainers.Run(ctx, image,
		testcontainers.WithExposedPorts(aerospikePort),
		testcontainers.WithHostConfigModifier(func(hc *container.HostConfig) {
			hc.PortBindings = network.PortMap{network.MustParsePort(aerospikePort): {{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}}
		}),
		testcontainers.WithWaitStrategy(wait.ForLog("migrations: complete").WithStartupTimeout(time.Minute)))
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		return "", err
	}
	port, err := c.MappedPort(ctx, aerospikePort)
	return "127.0.0.1:" + port.Port(), err
}
