package publisher_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/publisher"
)

// Two messages with one id are acknowledged, and one is stored.
func Example() {
	js, stop := connectWithStream()
	defer stop()

	p := publisher.New(js, publisher.Options{Stream: "ZOOM"})
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := p.Run(ctx); err != nil {
			fmt.Println(err)
		}
	})
	for range 2 {
		msg := nats.NewMsg("zoom.meeting.started")
		msg.Header.Set(nats.MsgIdHdr, "id-1")
		msg.Data = []byte(`{"event":"meeting.started"}`)
		if err := p.Publish(ctx, msg); err != nil {
			fmt.Println(err)
		}
	}
	if err := p.Flush(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("acknowledged: %d, duplicates: %d\n", p.Stats().Acked, p.Stats().Duplicates)
	cancel()
	run.Wait()
	// Output: acknowledged: 2, duplicates: 1
}

// connectWithStream stands for your server and stream.
func connectWithStream() (js jetstream.JetStream, stop func()) {
	dir, err := os.MkdirTemp("", "example-")
	check(err)
	s, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
	check(err)
	go s.Start()
	s.ReadyForConnections(10 * time.Second)
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.ReconnectBufSize(-1))
	check(err)
	js, err = jetstream.New(nc)
	check(err)
	_, err = js.CreateStream(context.Background(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}})
	check(err)
	return js, func() { nc.Close(); s.Shutdown(); s.WaitForShutdown(); os.RemoveAll(dir) }
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
