package privyseal

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

// get sends a GET through a door, and returns the answer's body.
func get(t *testing.T, door http.RoundTripper, url string) (string, error) {
	t.Helper()
	answer, err := (&http.Client{Transport: door}).Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

func TestNothingIsSentTwice(t *testing.T) {
	for _, method := range []string{"GET", "DELETE", "POST"} {
		venue := newVenue(t)
		door := signsAs(&privysealv1.SignedHttpRequest{Method: method, Url: venue.url + "/"}).client(t).
			Transport("keys/x")
		send := func() error {
			request, err := http.NewRequest(method, "https://x.example/", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Idempotency-Key", "k")
			answer, err := (&http.Client{Transport: door}).Do(request)
			if err == nil {
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			}
			return err
		}
		if err := send(); err != nil {
			t.Fatal(err)
		}
		venue.mutex.Lock()
		venue.drop = true
		venue.mutex.Unlock()
		if err := send(); err == nil {
			t.Errorf("%s: a broken connection is told", method)
		}
		if got := len(venue.requests()); got != 2 {
			t.Errorf("%s: %d requests", method, got)
		}
		_, headers, body := venue.last(t)
		if strings.Contains(headers, "Transfer-Encoding") || body != "" ||
			strings.Contains(headers, "Content-Length: 0") != (method == "POST") {
			t.Errorf("%s: %s%s", method, headers, body)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	venue := newVenue(t)
	venue.answer = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
	door := signsAs(&privysealv1.SignedHttpRequest{Method: "GET", Url: venue.url + "/"}).client(t).
		Transport("keys/x")
	if _, err := get(t, door, "https://x.example/"); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	sender := http.Client{Transport: door, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	answer, err := sender.Get("https://x.example/")
	if err != nil || answer.StatusCode != http.StatusFound {
		t.Error(answer, err)
	}
	_ = answer.Body.Close()
	if got := len(venue.requests()); got != 2 {
		t.Errorf("%d requests", got)
	}
}

func TestMissingSessionIsOpenedOnce(t *testing.T) {
	venue := newVenue(t)
	logins := 0
	server := &signer{
		login: func(*privysealv1.LoginRequest) (*privysealv1.LoginResponse, error) {
			logins++
			return &privysealv1.LoginResponse{}, nil
		},
		sign: func(context.Context, *privysealv1.SignRequest) (*privysealv1.SignResponse, error) {
			if logins == 0 {
				return nil, refusal(codes.FailedPrecondition, ReasonSessionMissing, -1)
			}
			return response(&privysealv1.SignedHttpRequest{Method: "GET", Url: venue.url + "/"}), nil
		},
	}
	client := server.client(t)
	if _, err := get(t, client.Transport("keys/x", WithoutLogin()), "https://x.example/"); !errors.Is(err, ReasonSessionMissing) || logins != 0 {
		t.Error(err, logins)
	}
	if _, err := get(t, client.Transport("keys/x"), "https://x.example/"); err != nil || logins != 1 {
		t.Error(err, logins)
	}
	ids := map[string]bool{}
	for _, request := range server.signs {
		ids[request.GetRequestId()] = true
	}
	if len(ids) != 3 || ids[""] {
		t.Error(ids)
	}
}

func TestWithoutRetriesThereIsNoRequestID(t *testing.T) {
	server := signsAs(nil)
	client := server.client(t, func(config *Config) { config.MaxAttempts = 1 })
	_, _ = get(t, client.Transport("keys/x"), "https://x.example/")
	if len(server.signs) != 1 || server.signs[0].GetRequestId() != "" {
		t.Error(server.signs)
	}
}

func TestManySendsAtOnce(t *testing.T) {
	venue := newVenue(t)
	door := signsAs(&privysealv1.SignedHttpRequest{Method: "GET", Url: venue.url + "/"}).client(t).
		Transport("keys/x", WithReport(ReportAll))
	var running sync.WaitGroup
	for range 50 {
		running.Go(func() {
			if body, err := get(t, door, "https://x.example/"); body != "ok" || err != nil {
				t.Error(body, err)
			}
		})
	}
	running.Wait()
}
