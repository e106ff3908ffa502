package privyseal

import (
	"bytes"
	"context"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const betweenTokenReads = time.Second

// tokenCredentials send a bearer token with each RPC.
type tokenCredentials struct {
	token func(context.Context) (string, error)
}

// within returns the token, or the context's error where the function does not heed that.
func (t tokenCredentials) within(ctx context.Context) (string, error) {
	type result struct {
		token string
		err   error
	}
	given := make(chan result, 1)
	go func() {
		token, err := t.token(ctx)
		given <- result{token, err}
	}()
	select {
	case got := <-given:
		return got.token, got.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// GetRequestMetadata implements [credentials.PerRPCCredentials].
func (t tokenCredentials) GetRequestMetadata(
	ctx context.Context, _ ...string,
) (map[string]string, error) {
	token, err := t.within(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		return nil, status.Errorf(codes.Unauthenticated, "Config.Token gave no token: %v", err)
	}
	if !isToken(token) {
		return nil, status.Error(codes.Unauthenticated,
			"Config.Token gave what is no token: it must be visible ASCII characters alone")
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials].
func (tokenCredentials) RequireTransportSecurity() bool { return true }

// tokenFile is a token that somebody else renews.
type tokenFile struct {
	path string

	mutex sync.Mutex
	token string
	read  time.Time
}

func newTokenFile(path string) (*tokenFile, error) {
	file := &tokenFile{path: path}
	return file, file.refresh()
}

// get returns the token, read anew where the last reading is a second old. A file that can't
// be read, or holds no token, leaves the last one in force.
func (f *tokenFile) get(context.Context) (string, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if time.Since(f.read) >= betweenTokenReads {
		_ = f.refresh()
	}
	return f.token, nil
}

func (f *tokenFile) refresh() error {
	f.read = time.Now()
	content, err := os.ReadFile(f.path)
	if err != nil {
		return &ConfigurationError{Setting: "TokenFile", err: err}
	}
	token := string(bytes.TrimSpace(content))
	if !isToken(token) {
		return wrong("TokenFile", f.path+" must hold a token alone, in visible ASCII characters")
	}
	f.token = token
	return nil
}

func isToken(text string) bool {
	for index := range len(text) {
		if text[index] <= ' ' || text[index] > '~' {
			return false
		}
	}
	return text != ""
}
