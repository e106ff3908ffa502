package privyseal

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/resolver"
)

func addresses(endpoints []resolver.Endpoint) string {
	var all []string
	for _, endpoint := range endpoints {
		var one []string
		for _, address := range endpoint.Addresses {
			one = append(one, address.Addr+"="+address.ServerName)
		}
		all = append(all, strings.Join(one, "+"))
	}
	return strings.Join(all, " ")
}

func TestAllAddressesOfAllTargetsAreEndpoints(t *testing.T) {
	known := map[string][]string{"a": {"192.0.2.1", "2001:db8::1"}, "localhost": {"127.0.0.1", "::1"}}
	r := &targetsResolver{known: map[string][]string{}, targetsBuilder: &targetsBuilder{
		targets: []target{{host: "a", port: "1"}, {host: "192.0.2.9", port: "2"}, {host: "localhost", port: "3"}},
		lookup: func(_ context.Context, host string) ([]string, error) {
			if hosts := known[host]; hosts != nil {
				return hosts, nil
			}
			return nil, errors.New("no such host")
		},
	}}
	want := "192.0.2.1:1=a:1 [2001:db8::1]:1=a:1 192.0.2.9:2=192.0.2.9:2 " +
		"127.0.0.1:3=localhost:3+[::1]:3=localhost:3"
	endpoints, err := r.resolve(t.Context())
	if got := addresses(endpoints); got != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	delete(known, "a")
	endpoints, err = r.resolve(t.Context())
	if got := addresses(endpoints); got != want || err == nil {
		t.Errorf("a name that is lost keeps its addresses: %s, %v", got, err)
	}
	known["localhost"], r.plaintext = []string{"192.0.2.1"}, true
	endpoints, err = r.resolve(t.Context())
	if got := addresses(endpoints); strings.Contains(got, ":3") || err == nil {
		t.Errorf("plaintext stays here: %s, %v", got, err)
	}
}

func TestUnixSocketIsOneEndpoint(t *testing.T) {
	r := &targetsResolver{targetsBuilder: &targetsBuilder{targets: []target{{path: "/run/p.sock"}}}}
	endpoints, err := r.resolve(t.Context())
	if got := addresses(endpoints); got != "unix:/run/p.sock=localhost" || err != nil {
		t.Error(got, err)
	}
}
