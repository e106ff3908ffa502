package privyseal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc/resolver"
)

const (
	targetsScheme = "privyseal"
	// betweenLookups bounds how often names are looked up while connections end.
	betweenLookups = 2 * time.Second
)

// targetsBuilder makes one list of endpoints out of all targets, which gRPC's own resolvers
// do for a single name only.
type targetsBuilder struct {
	targets   []target
	plaintext bool
	lookup    func(ctx context.Context, host string) ([]string, error)
	between   time.Duration
}

func (*targetsBuilder) Scheme() string { return targetsScheme }

func (b *targetsBuilder) Build(
	_ resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions,
) (resolver.Resolver, error) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &targetsResolver{
		targetsBuilder: b,
		conn:           conn,
		known:          make(map[string][]string),
		wanted:         make(chan struct{}, 1),
		cancel:         cancel,
	}
	r.running.Go(func() { r.run(ctx) })
	return r, nil
}

type targetsResolver struct {
	*targetsBuilder
	conn    resolver.ClientConn
	known   map[string][]string
	wanted  chan struct{}
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// ResolveNow is gRPC's word that a connection ended.
func (r *targetsResolver) ResolveNow(resolver.ResolveNowOptions) {
	select {
	case r.wanted <- struct{}{}:
	default:
	}
}

func (r *targetsResolver) Close() {
	r.cancel()
	r.running.Wait()
}

func (r *targetsResolver) run(ctx context.Context) {
	for {
		endpoints, err := r.resolve(ctx)
		if ctx.Err() != nil {
			return
		}
		if len(endpoints) > 0 {
			// What it returns is for resolvers that poll; a refused list is asked for anew.
			_ = r.conn.UpdateState(resolver.State{Endpoints: endpoints})
		} else {
			r.conn.ReportError(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.between):
		}
		if err != nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wanted:
		}
	}
}

// resolve returns the endpoints of all targets. A name that can't be looked up keeps its last
// addresses, and is told as an error beside them.
func (r *targetsResolver) resolve(ctx context.Context) ([]resolver.Endpoint, error) {
	var endpoints []resolver.Endpoint
	var failures []error
	for _, each := range r.targets {
		if each.path != "" {
			address := resolver.Address{Addr: each.String(), ServerName: "localhost"}
			endpoints = append(endpoints, resolver.Endpoint{Addresses: []resolver.Address{address}})
			continue
		}
		hosts, err := r.hosts(ctx, each.host)
		if err != nil {
			failures = append(failures, err)
		}
		endpoints = append(endpoints, each.endpoints(hosts)...)
	}
	return endpoints, errors.Join(failures...)
}

func (r *targetsResolver) hosts(ctx context.Context, name string) ([]string, error) {
	if _, err := netip.ParseAddr(name); err == nil {
		return []string{name}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	hosts, err := r.lookup(ctx, name)
	if err != nil {
		return r.known[name], fmt.Errorf("can't look up %s: %w", name, err)
	}
	if r.plaintext {
		for _, host := range hosts {
			if !isLoopback(host) {
				return nil, fmt.Errorf("%s is %s here, which is not this host; set TLS", name, host)
			}
		}
	}
	r.known[name] = hosts
	return hosts, nil
}

// endpoints returns one endpoint for each address, but a single one for this host, whose
// server may listen on one family of addresses only.
func (t target) endpoints(hosts []string) []resolver.Endpoint {
	var endpoints []resolver.Endpoint
	var own resolver.Endpoint
	for _, host := range hosts {
		address := resolver.Address{Addr: net.JoinHostPort(host, t.port), ServerName: t.String()}
		if isLoopback(host) {
			own.Addresses = append(own.Addresses, address)
			continue
		}
		endpoints = append(endpoints, resolver.Endpoint{Addresses: []resolver.Address{address}})
	}
	if len(own.Addresses) > 0 {
		endpoints = append(endpoints, own)
	}
	return endpoints
}
