package privyseal

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc/credentials"
)

// liveTLS are transport credentials that use what the files hold at each handshake.
type liveTLS struct {
	files TLS

	mutex   sync.Mutex
	seen    [sha256.Size]byte
	config  *tls.Config
	problem error // why the last change of the files is not in force
}

func newLiveTLS(files TLS) (*liveTLS, error) {
	if files.CAFile == "" {
		return nil, wrong("TLS.CAFile", "name the file of the server's CA")
	}
	if (files.CertificateFile == "") != (files.PrivateKeyFile == "") {
		return nil, wrong("TLS.CertificateFile", "give it and PrivateKeyFile, or neither")
	}
	live := &liveTLS{files: files}
	contents, err := files.read()
	if err != nil {
		return nil, err
	}
	live.config, err = files.parse(contents)
	live.seen = digest(contents)
	return live, err
}

// current returns the configuration in force, and why it is not that of the files, if so.
func (l *liveTLS) current() (*tls.Config, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	contents, err := l.files.read()
	if err != nil {
		l.problem = err
		return l.config, l.problem
	}
	if seen := digest(contents); seen != l.seen {
		if config, err := l.files.parse(contents); err != nil {
			l.problem = err
		} else {
			l.config, l.seen, l.problem = config, seen, nil
		}
	} else {
		l.problem = nil
	}
	return l.config, l.problem
}

// ClientHandshake implements [credentials.TransportCredentials].
func (l *liveTLS) ClientHandshake(
	ctx context.Context, authority string, raw net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	config, problem := l.current()
	if l.files.ServerName != "" {
		authority = l.files.ServerName
	}
	conn, info, err := credentials.NewTLS(config).ClientHandshake(ctx, authority, raw)
	if err == nil {
		return conn, info, nil
	}
	if problem != nil {
		return nil, nil, fmt.Errorf("%w (with the last good files, since %w)", err, problem)
	}
	return nil, nil, fmt.Errorf("%w (TLS.CAFile must hold the CA of the server's certificate, "+
		"and that must be for the target's host or TLS.ServerName)", err)
}

// ServerHandshake implements [credentials.TransportCredentials]; a client never uses it.
func (*liveTLS) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("privyseal: these credentials are a client's")
}

// Info implements [credentials.TransportCredentials].
func (*liveTLS) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements [credentials.TransportCredentials]; the clone shares the files.
func (l *liveTLS) Clone() credentials.TransportCredentials { return l }

// OverrideServerName implements [credentials.TransportCredentials]; gRPC does not use it.
func (*liveTLS) OverrideServerName(string) error {
	return errors.New("privyseal: set TLS.ServerName")
}

// pems are what CA, certificate and private key files hold; the last two may be nil.
type pems [3][]byte

func (t TLS) read() (pems, error) {
	var contents pems
	for index, file := range []struct{ setting, path string }{
		{"TLS.CAFile", t.CAFile},
		{"TLS.CertificateFile", t.CertificateFile},
		{"TLS.PrivateKeyFile", t.PrivateKeyFile},
	} {
		if file.path == "" {
			continue
		}
		content, err := os.ReadFile(file.path)
		if err != nil {
			return pems{}, &ConfigurationError{Setting: file.setting, err: err}
		}
		contents[index] = content
	}
	return contents, nil
}

func (t TLS) parse(contents pems) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(contents[0]) {
		return nil, wrong("TLS.CAFile", t.CAFile+" holds no certificate in PEM")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}
	if t.CertificateFile == "" {
		return config, nil
	}
	certificate, err := tls.X509KeyPair(contents[1], contents[2])
	if err != nil {
		return nil, wrong("TLS.CertificateFile", fmt.Sprintf(
			"%s and %s are not a certificate and its private key in PEM",
			t.CertificateFile, t.PrivateKeyFile))
	}
	// Not Certificates: crypto/tls would send none at all to a server that names other CAs,
	// which could then not say what is wrong with it.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &certificate, nil
	}
	return config, nil
}

func digest(contents pems) [sha256.Size]byte {
	all := make([]byte, 0, len(contents)*sha256.Size)
	for _, content := range contents {
		sum := sha256.Sum256(content)
		all = append(all, sum[:]...)
	}
	return sha256.Sum256(all)
}
