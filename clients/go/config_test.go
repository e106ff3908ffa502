package privyseal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// write puts a file into a folder of the test's own, and returns its path.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsThatCanNotBeRightAreNamed(t *testing.T) {
	here := []string{"127.0.0.1:7443"}
	noPEM := write(t, "ca.pem", "no PEM")
	files := newAuthority(t).files(t, "localhost")
	token := func(context.Context) (string, error) { return "t", nil }
	for _, test := range []struct {
		setting string
		config  Config
	}{
		{"TLS", Config{Targets: here}},
		{"Plaintext", Config{Targets: here, Plaintext: true, TLS: files}},
		{"Plaintext", Config{Targets: here, Plaintext: true, Token: token}},
		{"Plaintext", Config{Targets: []string{"192.0.2.1:7443"}, Plaintext: true}},
		{"Plaintext", Config{Targets: []string{"signer.example:7443"}, Plaintext: true}},
		{"Targets", Config{Plaintext: true}},
		{"Targets", Config{Targets: []string{"localhost"}, Plaintext: true}},
		{"Targets", Config{Targets: []string{"localhost:0"}, Plaintext: true}},
		{"Targets", Config{Targets: []string{"localhost:http"}, Plaintext: true}},
		{"Targets", Config{Targets: []string{":7443"}, Plaintext: true}},
		{"Targets", Config{Targets: []string{"https://localhost:7443"}, Plaintext: true}},
		{"Targets", Config{Targets: []string{"unix:relative"}, Plaintext: true}},
		{"Targets", Config{Targets: []string{"unix:/a", "unix:/b"}, Plaintext: true}},
		{"Timeout", Config{Targets: here, Plaintext: true, Timeout: -1}},
		{"MaxAttempts", Config{Targets: here, Plaintext: true, MaxAttempts: -1}},
		{"TLS.CAFile", Config{Targets: here, TLS: &TLS{}}},
		{"TLS.CAFile", Config{Targets: here, TLS: &TLS{CAFile: "/nowhere/ca.pem"}}},
		{"TLS.CAFile", Config{Targets: here, TLS: &TLS{CAFile: noPEM}}},
		{"TLS.CertificateFile", Config{Targets: here, TLS: &TLS{CAFile: files.CAFile, CertificateFile: files.CertificateFile}}},
		{"TLS.CertificateFile", Config{Targets: here, TLS: &TLS{
			CAFile: files.CAFile, CertificateFile: files.CertificateFile, PrivateKeyFile: noPEM,
		}}},
		{"TokenFile", Config{Targets: here, TLS: files, TokenFile: "/nowhere/token"}},
		{"TokenFile", Config{Targets: here, TLS: files, TokenFile: write(t, "token", "two words")}},
		{"TokenFile", Config{Targets: here, TLS: files, TokenFile: noPEM, Token: token}},
	} {
		_, err := New(test.config)
		var wrong *ConfigurationError
		if !errors.As(err, &wrong) || wrong.Setting != test.setting {
			t.Errorf("%s: %v", test.setting, err)
		}
	}
}

func TestTargetsThatAreHere(t *testing.T) {
	for _, target := range []string{
		"localhost:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/run/privyseal.sock",
	} {
		client, err := New(Config{Targets: []string{target}, Plaintext: true})
		if err != nil {
			t.Error(err)
			continue
		}
		_ = client.Close()
	}
}
