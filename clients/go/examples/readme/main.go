// Command readme asks WhiteBIT for a balance.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/privyseal/privyseal/clients/go"
)

func main() {
	tls, venueURL := os.Getenv("PRIVYSEAL_TLS"), os.Getenv("VENUE_URL")
	client, err := privyseal.New(privyseal.Config{
		Targets: []string{os.Getenv("PRIVYSEAL_TARGET")}, // localhost:7443
		TLS: &privyseal.TLS{
			CAFile:          tls + "/ca.pem",
			CertificateFile: tls + "/client.pem",
			PrivateKeyFile:  tls + "/client-key.pem",
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	venue := http.Client{Transport: client.Transport("keys/whitebit-main")}

	body := strings.NewReader(`{"ticker": "BTC"}`)
	answer, err := venue.Post(venueURL+"/api/v4/trade-account/balance", "application/json", body)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	_, err = io.Copy(os.Stdout, answer.Body)
	if err != nil {
		log.Fatal(err)
	}
}
