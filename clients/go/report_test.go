package privyseal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

func TestAnswersAreReportedAndStayWhole(t *testing.T) {
	text := strings.Repeat("0123456789", 20_000)
	for _, test := range []struct {
		code    int
		report  Report
		reports int
	}{{200, ReportErrors, 0}, {400, ReportErrors, 1}, {200, ReportAll, 1}, {503, ReportNone, 0}} {
		venue := newVenue(t)
		venue.answer = fmt.Sprintf("HTTP/1.1 %d X\r\nDate: today\r\nContent-Length: %d\r\n\r\n%s", test.code, len(text), text)
		server := signsAs(&privysealv1.SignedHttpRequest{Method: "GET", Url: venue.url + "/"})
		server.report = func(context.Context, *privysealv1.ReportAnswerRequest) error {
			return refusal(codes.Unavailable, ReasonStateUnavailable, 0)
		}
		body, err := get(t, server.client(t).Transport("keys/x", WithReport(test.report)), "https://x.example/")
		if body != text || err != nil {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		if len(server.reports) != test.reports {
			t.Fatalf("%d: %d reports", test.code, len(server.reports))
		}
		for _, report := range server.reports {
			if report.GetHttpStatus() != int32(test.code) || report.GetDate() != "today" || report.GetNonce() != "17" ||
				report.GetSignTime().GetSeconds() != 1_700_000_000 || string(report.GetBody()) != text[:reportedBytes] {
				t.Errorf("reported %d %s", report.GetHttpStatus(), report.GetDate())
			}
		}
	}
}

func TestSlowBodyIsReportedInTimeAndStaysWhole(t *testing.T) {
	reader, writer := io.Pipe()
	began := time.Now()
	body := readAhead(reader)
	go func() {
		_, _ = io.WriteString(writer, "first ")
		time.Sleep(50 * time.Millisecond)
		_, _ = io.WriteString(writer, "second")
		_ = writer.CloseWithError(io.ErrUnexpectedEOF)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if head := string(body.head(ctx)); head != "first " || time.Since(began) > 5*time.Second {
		t.Errorf("%q", head)
	}
	whole, err := io.ReadAll(body)
	if string(whole) != "first second" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", whole, err)
	}
}

func TestAnswerThatStallsIsReportedAllTheSame(t *testing.T) {
	venue := newVenue(t)
	venue.answer = "HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nstale nonce"
	server := signsAs(&privysealv1.SignedHttpRequest{Method: "GET", Url: venue.url + "/"})
	request, err := http.NewRequest(http.MethodGet, "https://x.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	answer, err := server.client(t).Transport("keys/x").RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if len(server.reports) != 1 || string(server.reports[0].GetBody()) != "stale nonce" {
		t.Errorf("reported %v", server.reports)
	}
	if took := time.Since(began); took > reportedWithin {
		t.Error(took)
	}
}
