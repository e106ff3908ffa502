package privyseal_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/privyseal/privyseal/clients/go"
	privysealv1 "github.com/privyseal/privyseal/clients/go/privyseal/v1"
)

var client *privyseal.Client

// The one line to change: each request is signed, and sent as it was signed.
func ExampleClient_Transport() {
	venue := http.Client{Transport: client.Transport("keys/whitebit-main")}

	answer, err := venue.Post("https://whitebit.com/api/v4/trade-account/balance", "application/json", nil)
	if errors.Is(err, privyseal.ReasonHeld) {
		log.Fatal("stopped by an officer: ", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	fmt.Println(answer.Status)
}

// Signing by hand: what comes back is the request to send.
func ExampleClient_Sign() {
	signed, err := client.Sign(context.Background(), &privysealv1.SignRequest{
		Key:       "keys/whitebit-main",
		RequestId: privyseal.NewRequestID(),
		Intent: &privysealv1.SignRequest_HttpRequest{HttpRequest: &privysealv1.HttpRequest{
			Method: "POST", Path: "/api/v4/trade-account/balance",
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signed.GetSignedHttpRequest().GetMethod())
}

func ExampleClient_WatchSession() {
	request := &privysealv1.WatchSessionRequest{Key: "keys/kiiex-main"}
	for event, err := range client.WatchSession(context.Background(), request) {
		switch {
		case err != nil:
			log.Fatal(err) // the end: denied, say
		case event.Failure != nil:
			log.Print(event.Failure) // not renewed; it is tried on
		default:
			fmt.Println(len(event.Session.GetHeaders()))
		}
	}
}
