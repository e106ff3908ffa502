package privyseal

import (
	"bytes"
	"context"
	"io"
	"math"
	"net/http"
	"sync"
	"time"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

// Report says which answers of a venue a [Transport] tells Privyseal, before the caller gets
// them.
type Report int

const (
	// ReportErrors tells of answers with status 400 or more.
	ReportErrors Report = iota
	// ReportAll tells of all answers: for KIIEX, which says some errors with HTTP 200.
	ReportAll
	// ReportNone tells of none.
	ReportNone
)

const (
	reportedBytes  = 64 << 10
	reportedWithin = 2 * time.Second
	// The rest is left for the report itself.
	reportReadWithin = time.Second
)

func (r Report) covers(code int) bool {
	if code == http.StatusSwitchingProtocols { // its body is a connection
		return false
	}
	return r == ReportAll || r == ReportErrors && code >= http.StatusBadRequest
}

// tell reports the answer, in 2 s at most, and leaves it whole to the caller.
func (t *Transport) tell(
	ctx context.Context, signed *privysealv1.SignResponse, answer *http.Response,
) {
	ctx, cancel := context.WithTimeout(ctx, reportedWithin)
	defer cancel()
	body := readAhead(answer.Body)
	answer.Body = body
	reading, stop := context.WithTimeout(ctx, reportReadWithin)
	defer stop()
	// A report that fails changes nothing for the caller, whose own requests tell what is wrong.
	_, _ = t.client.ReportAnswer(ctx, &privysealv1.ReportAnswerRequest{
		Key:        t.key,
		HttpStatus: int32(min(answer.StatusCode, math.MaxInt32)),
		Body:       body.head(reading),
		SignTime:   signed.GetSignTime(),
		Nonce:      signed.GetNonce(),
		Date:       answer.Header.Get("Date"),
	})
}

// aheadBody is a body whose beginning is read before anybody asks for it.
type aheadBody struct {
	body io.ReadCloser
	done chan struct{} // closed when nothing more is read ahead

	more  *sync.Cond
	read  []byte
	err   error // what ended the reading ahead, if anything did
	ended bool
	given int // how much of it the caller has
}

func readAhead(body io.ReadCloser) *aheadBody {
	ahead := &aheadBody{body: body, done: make(chan struct{}), more: sync.NewCond(new(sync.Mutex))}
	go ahead.fill()
	return ahead
}

func (a *aheadBody) fill() {
	defer close(a.done)
	chunk := make([]byte, 4096)
	for ended, size := false, 0; !ended; {
		count, err := a.body.Read(chunk[:min(len(chunk), reportedBytes-size)])
		size += count
		ended = err != nil || size == reportedBytes
		a.more.L.Lock()
		a.read, a.err, a.ended = append(a.read, chunk[:count]...), err, ended
		a.more.L.Unlock()
		a.more.Broadcast()
	}
}

// head returns the beginning: what has come by the context's end.
func (a *aheadBody) head(ctx context.Context) []byte {
	select {
	case <-a.done:
	case <-ctx.Done():
	}
	a.more.L.Lock()
	defer a.more.L.Unlock()
	return bytes.Clone(a.read)
}

// Read gives the caller the beginning as it comes, then the rest.
func (a *aheadBody) Read(into []byte) (int, error) {
	a.more.L.Lock()
	for a.given == len(a.read) && !a.ended && len(into) > 0 {
		a.more.Wait()
	}
	count := copy(into, a.read[a.given:])
	a.given += count
	err := a.err
	whole := a.given == len(a.read) && a.ended
	a.more.L.Unlock()
	if count > 0 || len(into) == 0 || !whole {
		return count, nil
	}
	if err != nil {
		return 0, err
	}
	return a.body.Read(into)
}

// Close closes the body, also while its beginning is awaited.
func (a *aheadBody) Close() error { return a.body.Close() }
