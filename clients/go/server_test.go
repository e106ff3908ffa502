package privyseal

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

// signer is a server of the contract whose answers a test writes.
type signer struct {
	privysealv1.UnimplementedSigningServiceServer
	sign   func(context.Context, *privysealv1.SignRequest) (*privysealv1.SignResponse, error)
	login  func(*privysealv1.LoginRequest) (*privysealv1.LoginResponse, error)
	report func(context.Context, *privysealv1.ReportAnswerRequest) error
	watch  func(grpc.ServerStreamingServer[privysealv1.WatchSessionResponse]) error

	mutex   sync.Mutex
	signs   []*privysealv1.SignRequest
	reports []*privysealv1.ReportAnswerRequest
}

func (s *signer) Sign(
	ctx context.Context, request *privysealv1.SignRequest,
) (*privysealv1.SignResponse, error) {
	s.mutex.Lock()
	s.signs = append(s.signs, request)
	s.mutex.Unlock()
	return s.sign(ctx, request)
}

func (s *signer) Login(
	_ context.Context, request *privysealv1.LoginRequest,
) (*privysealv1.LoginResponse, error) {
	return s.login(request)
}

func (s *signer) ReportAnswer(
	ctx context.Context, request *privysealv1.ReportAnswerRequest,
) (*privysealv1.ReportAnswerResponse, error) {
	s.mutex.Lock()
	s.reports = append(s.reports, request)
	s.mutex.Unlock()
	if s.report != nil {
		if err := s.report(ctx, request); err != nil {
			return nil, err
		}
	}
	return &privysealv1.ReportAnswerResponse{}, nil
}

func (s *signer) WatchSession(
	_ *privysealv1.WatchSessionRequest,
	stream grpc.ServerStreamingServer[privysealv1.WatchSessionResponse],
) error {
	return s.watch(stream)
}

// client serves on loopback, and returns a client of it.
func (s *signer) client(t *testing.T, change ...func(*Config)) *Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	privysealv1.RegisterSigningServiceServer(server, s)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	config := Config{Targets: []string{listener.Addr().String()}, Plaintext: true}
	for _, each := range change {
		each(&config)
	}
	client, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// signsAs makes a server that signs every request as the one given.
func signsAs(signed *privysealv1.SignedHttpRequest) *signer {
	return &signer{sign: func(
		context.Context, *privysealv1.SignRequest,
	) (*privysealv1.SignResponse, error) {
		return response(signed), nil
	}}
}

func response(signed *privysealv1.SignedHttpRequest) *privysealv1.SignResponse {
	return &privysealv1.SignResponse{
		Result:   &privysealv1.SignResponse_SignedHttpRequest{SignedHttpRequest: signed},
		Nonce:    "17",
		SignTime: timestamppb.New(time.Unix(1_700_000_000, 0)),
	}
}

// refusal is a server's error with a reason, and a delay where that is not negative.
func refusal(code codes.Code, reason Reason, wait time.Duration) error {
	details := []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: string(reason), Domain: "privyseal", Metadata: map[string]string{"key": "keys/x"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "first"}, {Field: "second"},
		}},
	}
	if wait >= 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
	}
	with, err := status.New(code, "try something else").WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return with.Err()
}
