package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// bareConn returns a channel for the generated stubs, with the client's settings.
func (c *connected) bareConn() (*grpc.ClientConn, error) {
	secure := insecure.NewCredentials()
	if files := c.config.TLS; files != nil {
		ca, err := os.ReadFile(files.CAFile)
		if err != nil {
			return nil, err
		}
		config := &tls.Config{
			MinVersion: tls.VersionTLS13,
			RootCAs:    x509.NewCertPool(),
			ServerName: files.ServerName,
		}
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("the CA file holds no certificate")
		}
		if files.CertificateFile != "" {
			own, err := tls.LoadX509KeyPair(files.CertificateFile, files.PrivateKeyFile)
			if err != nil {
				return nil, err
			}
			config.Certificates = []tls.Certificate{own}
		}
		secure = credentials.NewTLS(config)
	}
	return grpc.NewClient(c.config.Targets[0],
		grpc.WithTransportCredentials(secure),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 30 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true,
		}),
	)
}
