package privyseal

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

var _ credentials.PerRPCCredentials = tokenCredentials{}

func TestTokenFileIsReadAgainOnceASecond(t *testing.T) {
	path := write(t, "token", "first\n")
	file, err := newTokenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want string) {
		t.Helper()
		if got, _ := file.get(t.Context()); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	put := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("second\n")
	expect("first")
	file.read = file.read.Add(-time.Second)
	expect("second")
	put("")
	file.read = file.read.Add(-time.Second)
	expect("second")
}

func TestTokenIsChecked(t *testing.T) {
	for _, test := range []struct {
		token string
		err   error
		want  string
	}{
		{"a.b-c_d", nil, "Bearer a.b-c_d"},
		{"", nil, ""},
		{"secret\r\nx: y", nil, ""},
		{"", errors.New("the issuer sleeps"), ""},
	} {
		given := tokenCredentials{func(context.Context) (string, error) { return test.token, test.err }}
		metadata, err := given.GetRequestMetadata(t.Context())
		if metadata["authorization"] != test.want {
			t.Error(metadata)
		}
		if test.want == "" && status.Code(err) != codes.Unauthenticated {
			t.Error(err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	}
}

func TestTokenThatIsLateDoesNotOutliveTheCall(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	hangs := tokenCredentials{func(context.Context) (string, error) { select {} }}
	if _, err := hangs.GetRequestMetadata(ctx); status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
}
