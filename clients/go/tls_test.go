package privyseal

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
)

// authority is a CA of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key}
}

// issue returns certificate and private key, as PEM.
func (a *authority) issue(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes})
}

// files writes a folder with the CA, and a certificate for the name.
func (a *authority) files(t *testing.T, name string) *TLS {
	t.Helper()
	folder := t.TempDir()
	files := &TLS{
		CAFile:          filepath.Join(folder, "ca.pem"),
		CertificateFile: filepath.Join(folder, "client.pem"),
		PrivateKeyFile:  filepath.Join(folder, "client-key.pem"),
	}
	a.renew(t, files, name)
	return files
}

func (a *authority) renew(t *testing.T, files *TLS, name string) {
	t.Helper()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
	certificate, key := a.issue(t, name)
	for path, content := range map[string][]byte{
		files.CAFile: ca, files.CertificateFile: certificate, files.PrivateKeyFile: key,
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// callers is a TLS server that tells the names in its clients' certificates.
func (a *authority) callers(t *testing.T) (address string, names <-chan string) {
	t.Helper()
	certificate, key := a.issue(t, "localhost")
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert,
		ClientCAs: pool, NextProtos: []string{"h2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	seen := make(chan string, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			secure, _ := conn.(*tls.Conn)
			if err := secure.Handshake(); err == nil {
				seen <- secure.ConnectionState().PeerCertificates[0].DNSNames[0]
			}
			_ = conn.Close()
		}
	}()
	return listener.Addr().String(), seen
}

func handshake(t *testing.T, live *liveTLS, address string) error {
	t.Helper()
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn, _, err := live.ClientHandshake(t.Context(), "localhost:7443", raw)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

func TestRenewedFilesAreUsedByTheNextHandshake(t *testing.T) {
	ca := newAuthority(t)
	address, names := ca.callers(t)
	files := ca.files(t, "first.example")
	live, err := newLiveTLS(*files)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(name string) {
		t.Helper()
		if err := handshake(t, live, address); err != nil {
			t.Fatal(err)
		}
		if got := <-names; got != name {
			t.Errorf("%s called, not %s", got, name)
		}
	}
	expect("first.example")
	ca.renew(t, files, "second.example")
	expect("second.example")

	other, _ := ca.issue(t, "third.example")
	if err := os.WriteFile(files.CertificateFile, other, 0o600); err != nil {
		t.Fatal(err)
	}
	expect("second.example") // the private key is not that of the certificate
	if err := os.Remove(files.PrivateKeyFile); err != nil {
		t.Fatal(err)
	}
	expect("second.example")
	ca.renew(t, files, "fourth.example")
	expect("fourth.example")
}

func TestFailedHandshakeSaysWhatToLookAt(t *testing.T) {
	ca := newAuthority(t)
	address, _ := ca.callers(t)
	distrustful, err := newLiveTLS(*newAuthority(t).files(t, "x.example"))
	if err != nil {
		t.Fatal(err)
	}
	if err := handshake(t, distrustful, address); err == nil || !strings.Contains(err.Error(), "TLS.CAFile") {
		t.Error(err)
	}
	files := ca.files(t, "x.example")
	files.ServerName = "signer.example"
	misled, err := newLiveTLS(*files)
	if err != nil {
		t.Fatal(err)
	}
	if err := handshake(t, misled, address); err == nil || !strings.Contains(err.Error(), "TLS.ServerName") {
		t.Error(err)
	}
	if err := os.WriteFile(files.CAFile, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := handshake(t, misled, address); err == nil || !strings.Contains(err.Error(), "last good files") {
		t.Error(err)
	}
}

func TestCertificateGoesToServersThatNameOtherCAs(t *testing.T) {
	server, client := newAuthority(t), newAuthority(t)
	address, names := server.callers(t)
	files := client.files(t, "foreign.example")
	files.CAFile = server.files(t, "x").CAFile
	live, err := newLiveTLS(*files)
	if err != nil {
		t.Fatal(err)
	}
	if err := handshake(t, live, address); err != nil {
		t.Fatal(err)
	}
	if got := <-names; got != "foreign.example" {
		t.Error(got)
	}
}

var _ credentials.TransportCredentials = (*liveTLS)(nil)
