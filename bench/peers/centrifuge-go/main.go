// A small server on the `centrifuge` library, as its documentation shows one: memory
// engine, JSON protocol, HS256 tokens, clients may subscribe and publish everywhere.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/golang-jwt/jwt/v5"
)

func main() {
	address := flag.String("address", "127.0.0.1:8000", "where to listen")
	secret := flag.String("secret", "", "key of HS256 tokens")
	heartbeat := flag.Duration("heartbeat", 25*time.Second, "time between pings")
	history := flag.Int("history", 0, "publications kept for each channel; then subscriptions are positioned and recoverable")
	flag.Parse()

	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(_ context.Context, event centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		user, expires, err := verify(event.Token, []byte(*secret))
		if err != nil {
			return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
		}
		credentials := &centrifuge.Credentials{UserID: user, ExpireAt: expires}
		return centrifuge.ConnectReply{Credentials: credentials}, nil
	})
	publication := centrifuge.PublishOptions{}
	subscription := centrifuge.SubscribeOptions{}
	if *history > 0 {
		publication.HistorySize = *history
		publication.HistoryTTL = 5 * time.Minute
		subscription.EnablePositioning = true
		subscription.EnableRecovery = true
	}
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{Options: subscription}, nil)
		})
		client.OnPublish(func(_ centrifuge.PublishEvent, answer centrifuge.PublishCallback) {
			answer(centrifuge.PublishReply{Options: publication}, nil)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		PingPongConfig: centrifuge.PingPongConfig{
			PingInterval: *heartbeat,
			// As Fanfare's default, where that is less than the interval.
			PongTimeout: min(8*time.Second, *heartbeat-time.Second),
		},
	}))
	log.Fatal(http.Serve(listener, nil))
}

// The user that the token names, and the Unix time of its expiry (0: never).
func verify(token string, secret []byte) (user string, expires int64, err error) {
	var claims jwt.RegisteredClaims
	key := func(*jwt.Token) (any, error) { return secret, nil }
	if _, err := jwt.ParseWithClaims(token, &claims, key, jwt.WithValidMethods([]string{"HS256"})); err != nil {
		return "", 0, err
	}
	if claims.ExpiresAt != nil {
		expires = claims.ExpiresAt.Unix()
	}
	return claims.Subject, expires, nil
}
