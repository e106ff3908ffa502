package privyseal

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/stats"
)

const (
	defaultTimeout     = 10 * time.Second
	defaultMaxAttempts = 4
	unixPrefix         = "unix:"
)

// Config says where Privyseal is, and who calls. Targets and one of TLS and Plaintext are
// required; everything else has a default.
type Config struct {
	// Targets are one or more of host:port, or one unix:/absolute/path. All addresses of all
	// targets get RPCs in turn; one that is down is passed over.
	Targets []string

	// TLS holds the files of TLS or mTLS.
	TLS *TLS

	// TokenFile is the path of a file with a bearer token, sent with each RPC, over TLS only.
	// It is read again while it is in use, at most once a second; where that fails, the last
	// token stays.
	TokenFile string

	// Token returns a bearer token for an RPC, instead of TokenFile. It is asked for each
	// attempt of each RPC, by several goroutines at once.
	Token func(context.Context) (string, error)

	// Plaintext turns TLS off. Only loopback addresses and Unix sockets are taken then.
	Plaintext bool

	// Timeout is the deadline of a call whose context has none, retries included; 10 s where
	// it is 0.
	Timeout time.Duration

	// MaxAttempts is how often a call with a request_id is tried at most; 4 where it is 0, and
	// 1 turns retries off.
	MaxAttempts int

	// StatsHandler hears of all RPCs and connections, for metrics and traces; it sees the
	// messages too, signed requests and sessions among them. Optional.
	StatsHandler stats.Handler
}

// TLS names PEM files. They are read again at each new connection; files that can't be read,
// or don't match, leave the last good ones in force.
type TLS struct {
	// CAFile holds the CAs of the server's certificate. Required.
	CAFile string
	// CertificateFile holds the caller's certificate and its chain, for mTLS.
	CertificateFile string
	// PrivateKeyFile holds the certificate's private key.
	PrivateKeyFile string
	// ServerName is what the server's certificate must be for; the target's host where it is
	// empty.
	ServerName string
}

// ConfigurationError says which setting New refused, and why.
type ConfigurationError struct {
	// Setting is the field of Config, such as "TLS.CAFile".
	Setting string
	err     error
}

// Error returns the setting and what is wrong with it.
func (e *ConfigurationError) Error() string {
	return "privyseal: " + e.Setting + ": " + e.err.Error()
}

// Unwrap returns what was wrong, such as an [os.PathError].
func (e *ConfigurationError) Unwrap() error { return e.err }

func wrong(setting, text string) error {
	return &ConfigurationError{Setting: setting, err: errors.New(text)}
}

// target is a place to connect to: a path of a socket, or a host and its port.
type target struct {
	path       string
	host, port string
}

func (t target) String() string {
	if t.path != "" {
		return unixPrefix + t.path
	}
	return net.JoinHostPort(t.host, t.port)
}

// check returns the targets, or what is wrong with the settings; it reads no files.
func (c Config) check() ([]target, error) {
	switch {
	case c.TLS == nil && !c.Plaintext:
		return nil, wrong("TLS", "give the files, or set Plaintext for a server on this host")
	case c.TLS != nil && c.Plaintext:
		return nil, wrong("Plaintext", "leave it out, or TLS")
	case c.TokenFile != "" && c.Token != nil:
		return nil, wrong("TokenFile", "leave it out, or Token")
	case c.Plaintext && (c.TokenFile != "" || c.Token != nil):
		return nil, wrong("Plaintext", "a token is sent over TLS only")
	case c.Timeout < 0:
		return nil, wrong("Timeout", "must be positive; 0 means 10 s")
	case c.MaxAttempts < 0:
		return nil, wrong("MaxAttempts", "must be positive; 0 means 4, and 1 turns retries off")
	case len(c.Targets) == 0:
		return nil, wrong("Targets", "name a server, such as localhost:7443")
	}
	targets := make([]target, 0, len(c.Targets))
	for _, text := range c.Targets {
		parsed, err := parseTarget(text)
		if err != nil {
			return nil, err
		}
		if parsed.path != "" && len(c.Targets) > 1 {
			return nil, wrong("Targets", "a Unix socket stands alone")
		}
		if c.Plaintext && parsed.path == "" && !isLoopback(parsed.host) {
			return nil, wrong("Plaintext", text+" is not on this host; set TLS")
		}
		targets = append(targets, parsed)
	}
	return targets, nil
}

func parseTarget(text string) (target, error) {
	if path, ok := strings.CutPrefix(text, unixPrefix); ok {
		if !filepath.IsAbs(path) || strings.HasPrefix(path, "//") {
			return target{}, wrong("Targets", strconv.Quote(text)+" is not unix:/absolute/path")
		}
		return target{path: path}, nil
	}
	host, port, err := net.SplitHostPort(text)
	number, notNumber := strconv.ParseUint(port, 10, 16)
	if err != nil || notNumber != nil || number == 0 || host == "" || strings.ContainsAny(host, "/ ") {
		return target{}, wrong("Targets", strconv.Quote(text)+" is not host:port")
	}
	return target{host: host, port: port}, nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}
