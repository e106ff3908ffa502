package privyseal

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

// BenchmarkSign compares the client with the bare stub, at a server that does nothing.
func BenchmarkSign(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := grpc.NewServer()
	privysealv1.RegisterSigningServiceServer(server, &idleSigner{})
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	client, err := New(Config{Targets: []string{listener.Addr().String()}, Plaintext: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	conn, err := grpc.NewClient(listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stub := privysealv1.NewSigningServiceClient(conn)
	deadline, cancel := context.WithTimeout(b.Context(), defaultTimeout*100)
	defer cancel()
	for _, each := range []struct {
		name   string
		ctx    context.Context
		signer interface {
			Sign(context.Context, *privysealv1.SignRequest, ...grpc.CallOption) (*privysealv1.SignResponse, error)
		}
		requestID string
	}{
		{"stub", b.Context(), stub, ""},
		{"stub with deadline", deadline, stub, ""},
		{"client", b.Context(), client, ""},
		{"client with request id", b.Context(), client, NewRequestID()},
	} {
		b.Run(each.name, func(b *testing.B) {
			b.ReportAllocs()
			request := &privysealv1.SignRequest{Key: "keys/x", RequestId: each.requestID}
			for b.Loop() {
				if _, err := each.signer.Sign(each.ctx, request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type idleSigner struct {
	privysealv1.UnimplementedSigningServiceServer
}

func (*idleSigner) Sign(
	context.Context, *privysealv1.SignRequest,
) (*privysealv1.SignResponse, error) {
	return &privysealv1.SignResponse{}, nil
}
