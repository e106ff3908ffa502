// Command market_maker quotes a bid and an ask at WhiteBIT, round by round, and cancels both. Its
// HTTP client is signed for by Privyseal; nothing else in it knows of signing.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/privyseal/privyseal/clients/go"
)

const (
	market = "BTC_USDT"
	amount = "0.01"
	mid    = 40_000.0
	spread = 0.001
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	rounds, err := strconv.Atoi(cmp.Or(os.Getenv("ROUNDS"), "3"))
	if err != nil {
		return fmt.Errorf("ROUNDS: %w", err)
	}
	tls := os.Getenv("PRIVYSEAL_TLS")
	client, err := privyseal.New(privyseal.Config{
		Targets: []string{os.Getenv("PRIVYSEAL_TARGET")},
		TLS: &privyseal.TLS{
			CAFile:          tls + "/ca.pem",
			CertificateFile: tls + "/client.pem",
			PrivateKeyFile:  tls + "/client-key.pem",
		},
	})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	maker := &maker{
		url:  os.Getenv("VENUE_URL"),
		http: &http.Client{Transport: client.Transport("keys/whitebit-main"), Timeout: 5 * time.Second},
	}
	for round := range rounds {
		if err := maker.quote(ctx, mid*(1+0.0001*float64(round))); err != nil {
			return explain(err)
		}
	}
	fmt.Printf("%d orders placed, %d cancelled\n", maker.placed, maker.cancelled)
	return nil
}

// explain tells a desk what to do about what Privyseal refused.
func explain(err error) error {
	switch {
	case errors.Is(err, privyseal.ReasonHeld):
		return fmt.Errorf("stopped by an officer: %w", err)
	case errors.Is(err, privyseal.ReasonPolicyDenied):
		return fmt.Errorf("ask for a rule: %w", err)
	default:
		return err
	}
}

// maker places orders and takes them back.
type maker struct {
	url               string
	http              *http.Client
	placed, cancelled int
}

func (m *maker) quote(ctx context.Context, price float64) error {
	var ids []int64
	var failure error
	for _, quote := range []struct {
		side  string
		price float64
	}{{"buy", price * (1 - spread)}, {"sell", price * (1 + spread)}} {
		id, err := m.place(ctx, quote.side, quote.price)
		if err != nil {
			failure = err
			break
		}
		ids = append(ids, id)
	}
	// Also after a failure or an interrupt no order is left behind.
	for _, id := range ids {
		failure = errors.Join(failure, m.cancel(context.WithoutCancel(ctx), id))
	}
	return failure
}

func (m *maker) place(ctx context.Context, side string, price float64) (int64, error) {
	text := strconv.FormatFloat(price, 'f', 2, 64)
	var order struct {
		OrderID int64 `json:"orderId"`
	}
	err := m.post(ctx, "/api/v4/order/new", map[string]any{
		"market": market, "side": side, "amount": amount, "price": text,
	}, &order)
	if err != nil {
		return 0, err
	}
	m.placed++
	fmt.Printf("order %d: %s %s %s at %s\n", order.OrderID, side, amount, market, text)
	return order.OrderID, nil
}

func (m *maker) cancel(ctx context.Context, id int64) error {
	err := m.post(ctx, "/api/v4/order/cancel", map[string]any{"market": market, "orderId": id}, nil)
	if err == nil {
		m.cancelled++
	}
	return err
}

// post sends a request, and reads the answer into result where that is not nil.
func (m *maker) post(ctx context.Context, path string, body, result any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := m.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	content, err = io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the venue answered %s: %s", answer.Status, content)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(content, result)
}
