package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/record"
)

// TestBuckets: buckets that somebody else has created are checked.
func TestBuckets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []jetstream.KeyValueConfig{{Bucket: "zoomstream", History: 5}, {Bucket: "zoomstream-state", TTL: time.Hour}} {
		_, err := w.js.CreateKeyValue(t.Context(), c)
		must(t, err)
	}
	r := w.run()
	r.failed(true)
	r.has(LeaseBucket, Fail, "TTL of their own")
	r.has(StateBucket, Warn, "forgets states after 1h")
	r.has(Connection, Warn, "--connect")
	w.sockets(0)
}

func TestOtherLeases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leases, _ := w.buckets()
	w.put(leases, "lease.other", record.Lease{Replica: "r", Nonce: "n"}, time.Minute)
	w.run().has(OtherLeases, Pass, "1 other subscription")
}

// TestStream: doctor reports what is wrong with a stream, and changes nothing.
func TestStream(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		config jetstream.StreamConfig
		code   Code
		result Result
		words  []string
	}{
		{"window", jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}, Stream, Warn, []string{"2m0s", "--dupe-window=30m0s"}},
		{"subjects", jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.a"}}, Stream, Fail, []string{"not all of zoom.>"}},
		{"overlap", jetstream.StreamConfig{Name: "THEIRS", Subjects: []string{"zoom.a"}}, Stream, Fail, []string{"held by stream THEIRS", "ZOOMSTREAM_STREAM=THEIRS"}},
		{"full", jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, MaxMsgs: 2, Discard: jetstream.DiscardNew}, StreamState, Fail, []string{"100 %", "2 messages", "refuses events"}},
		{"good", jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: time.Hour}, StreamState, Pass, []string{"2 messages", "from 20"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			stream, err := w.js.CreateStream(t.Context(), c.config)
			must(t, err)
			for range 2 {
				_, err := w.js.Publish(t.Context(), "zoom.a", nil)
				must(t, err)
			}
			before := *stream.CachedInfo()
			r := w.run()
			r.has(c.code, c.result, c.words...)
			if c.result == Fail {
				r.failed(c.code == Stream)
			}
			after, err := stream.Info(t.Context())
			must(t, err)
			if a, b := after.Config, before.Config; a.Duplicates != b.Duplicates || strings.Join(a.Subjects, " ") != strings.Join(b.Subjects, " ") || after.State.Msgs != 2 {
				t.Errorf("the stream was changed: %+v", after)
			}
		})
	}
}

// TestFillingStream fills a stream up to its bound. It is full when it refuses an event.
func TestFillingStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	_, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, MaxBytes: 25_500, Discard: jetstream.DiscardNew})
	must(t, err)
	stored := 0
	for ; err == nil; stored++ {
		switch stored {
		case 5:
			w.run().has(StreamState, Pass)
		case 23:
			r := w.run()
			r.has(StreamState, Warn, "before it refuses events")
			must(t, r.Err())
		case 100:
			t.Fatal("it takes all")
		}
		_, err = w.js.Publish(t.Context(), "zoom.a", make([]byte, 1000))
	}
	r := w.run()
	r.failed(false)
	r.has(StreamState, Fail, "full and refuses events (max-bytes")
}

// TestFullBucket fills a bucket until it refuses a write.
func TestFullBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	for _, name := range []string{"KV_zoomstream", "KV_zoomstream-state"} {
		stream, err := w.js.Stream(t.Context(), name)
		must(t, err)
		c := stream.CachedInfo().Config
		c.MaxBytes = 4 << 10
		_, err = w.js.UpdateStream(t.Context(), c)
		must(t, err)
	}
	w.run().has(StateBucket, Pass)
	for _, name := range []string{"zoomstream", "zoomstream-state"} {
		bucket, err := w.js.KeyValue(t.Context(), name)
		must(t, err)
		for n := 0; err == nil && n < 100; n++ {
			_, err = bucket.Put(t.Context(), "x."+strings.Repeat("x", n+1), make([]byte, 200))
		}
		if err == nil {
			t.Fatal("it takes all")
		}
	}
	r := w.run()
	r.failed(false)
	r.has(LeaseBucket, Fail, "full", "no replica can lead", "nats stream edit KV_zoomstream --max-bytes")
	r.has(StateBucket, Fail, "full", "events are withheld", "nats stream edit KV_zoomstream-state --max-bytes")
}

func TestSealedBucket(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]Code{"zoomstream": LeaseBucket, "zoomstream-state": StateBucket} {
		w := newWorld(t)
		w.buckets()
		stream, err := w.js.Stream(t.Context(), "KV_"+name)
		must(t, err)
		c := stream.CachedInfo().Config
		c.Sealed = true
		_, err = w.js.UpdateStream(t.Context(), c)
		must(t, err)
		r := w.run()
		r.failed(true)
		r.has(code, Fail, "bucket "+name+" is sealed", "nats kv del "+name)
	}
}

// TestNoCluster asks for more replicas than a single server can hold.
func TestNoCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run("ZOOMSTREAM_STREAM_REPLICAS=3")
	r.failed(true)
	for _, code := range []Code{Stream, LeaseBucket, StateBucket} {
		r.has(code, Fail, "cannot be created: 3 replicas need a cluster", "ZOOMSTREAM_STREAM_REPLICAS", "use 1")
	}
	w.buckets()
	_, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}})
	must(t, err)
	must(t, w.run("ZOOMSTREAM_STREAM_REPLICAS=3").Err()) // run accepts what exists
}
