package spool

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

const plenty = 1 << 30

var tornStep = flag.Int64("torn-step", 11, "bytes between two places where the torn tail is cut")

func lock(t *testing.T, dir string) *Folder {
	t.Helper()
	f, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Unlock() }) //nolint:errcheck // the test is over
	return f
}

func open(t *testing.T, f *Folder, max int64) *Log {
	t.Helper()
	l, err := f.Open(t.Context(), max, zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closed(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func numbered(n int) *nats.Msg {
	return &nats.Msg{
		Subject: fmt.Sprintf("zoom.event.n%d", n%7),
		Header:  nats.Header{"Nats-Msg-Id": {fmt.Sprint("id-", n%5)}, "x-zm-trackingid": {"lower-case"}, "Zoom-Seq": {fmt.Sprint(n)}},
		Data:    fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", n%1500)),
	}
}

func fill(t *testing.T, l *Log, from, to int) {
	t.Helper()
	for ; from < to; from += 100 {
		var batch []*nats.Msg
		for n := from; n < min(from+100, to); n++ {
			batch = append(batch, numbered(n))
		}
		if err := l.Append(t.Context(), batch, uint64(from)); err != nil {
			t.Fatal(err)
		}
	}
}

// want reads a Log to its end, and checks that it has the messages numbered from (inclusive) to to
// (exclusive).
func want(t *testing.T, l *Log, from, to int) {
	t.Helper()
	n := from
	for next := l.First(); next <= l.Last(); {
		records, err := l.Read(t.Context(), next, 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			m := numbered(n)
			if r.Sequence != next || r.Msg.Subject != m.Subject || string(r.Msg.Data) != string(m.Data) || fmt.Sprint(r.Msg.Header) != fmt.Sprint(m.Header) {
				t.Fatalf("record %d, to be %d, is %s %v %.20q, want message %d", r.Sequence, next, r.Msg.Subject, r.Msg.Header, r.Msg.Data, n)
			}
			n, next = n+1, next+1
		}
	}
	if n != to {
		t.Fatalf("messages %d to %d, want up to %d", from, n, to)
	}
}

func TestFirstInFirstOut(t *testing.T) {
	f := lock(t, t.TempDir())
	if f.Used() {
		t.Error("an empty folder counts as used")
	}
	l := open(t, f, plenty)
	want(t, l, 0, 0)
	fill(t, l, 0, 1000)
	want(t, l, 0, 1000)
	if err := l.Remove(t.Context(), 400); err != nil {
		t.Fatal(err)
	}
	want(t, l, 400, 1000)
	fill(t, l, 1000, 1300)
	closed(t, l)
	if !f.Used() {
		t.Error("a folder with records does not count as used")
	}

	l = open(t, f, plenty)
	want(t, l, 400, 1300)
	records, err := l.Read(t.Context(), l.First(), 1)
	if err != nil || records[0].After != 400 || records[0].At.IsZero() {
		t.Errorf("%+v, %v", records, err)
	}
	if err := l.Remove(t.Context(), l.Last()); err != nil {
		t.Fatal(err)
	}
	want(t, l, 0, 0)
	fill(t, l, 0, 10) // it continues the sequence
	want(t, l, 0, 10)
	if err := l.Remove(t.Context(), l.Last()); err != nil {
		t.Fatal(err)
	}
	closed(t, l)
	if f.Used() {
		t.Error("an empty Log leaves its files")
	}
}

func TestFolderIsLocked(t *testing.T) {
	dir := t.TempDir()
	f := lock(t, dir)
	_, err := Lock(dir)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "ZOOMSTREAM_SPOOL_DIR") {
		t.Errorf("%v", err)
	}
	if err := f.Unlock(); err != nil {
		t.Fatal(err)
	}
	lock(t, dir)

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(filepath.Join(file, "spool")); err == nil || !strings.Contains(err.Error(), "ZOOMSTREAM_SPOOL_DIR") {
		t.Errorf("%v", err)
	}
}

// TestFull fills a Log to its bound: what is in it stays, and removing something makes room again.
func TestFull(t *testing.T) {
	l := open(t, lock(t, t.TempDir()), 1<<20)
	defer l.Close() //nolint:errcheck // it is not empty
	var err error
	n := 0
	for err == nil {
		var batch []*nats.Msg
		for i := range 100 {
			batch = append(batch, numbered(n+i))
		}
		before := l.Last()
		err = l.Append(t.Context(), batch, 0)
		n += int(l.Last() - before)
	}
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if n < 500 || l.Bytes() > 1<<20 || l.Bytes() < 800<<10 {
		t.Errorf("%d messages in %d bytes", n, l.Bytes())
	}
	want(t, l, 0, n)
	if err := l.Remove(t.Context(), 700); err != nil {
		t.Fatal(err)
	}
	fill(t, l, n, n+100)
	want(t, l, 700, n+100)
}

// newest returns the file with the last records.
func newest(t *testing.T, dir string) string {
	t.Helper()
	var found string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".blk" {
			found = max(found, path)
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("no block in %s: %v", dir, err)
	}
	return found
}

// copyOf copies a folder as a crash would leave it, without a shutdown of the server.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestTornTail cuts the newest file anywhere in its last records, as a crash of the machine may:
// whole records are kept, the rest is gone, and the Log works. (-torn-step 1 tries every byte.)
func TestTornTail(t *testing.T) {
	const whole, small = 300, 3
	f := lock(t, t.TempDir())
	l := open(t, f, plenty)
	defer l.Close() //nolint:errcheck // it is not empty
	fill(t, l, 0, whole)
	size := fileSize(t, newest(t, f.Dir()))
	var ends []int64
	for n := range small {
		fill(t, l, whole+n*1500, whole+n*1500+1)
		ends = append(ends, fileSize(t, newest(t, f.Dir())))
	}
	end := ends[len(ends)-1]
	for cut := size; cut <= end; cut += *tornStep {
		dir := copyOf(t, f.Dir())
		if err := os.Truncate(newest(t, dir), cut); err != nil {
			t.Fatal(err)
		}
		torn := lock(t, dir)
		l := open(t, torn, plenty)
		kept := 0
		for _, e := range ends {
			if e <= cut {
				kept++
			}
		}
		if int(l.Last()) != whole+kept {
			t.Fatalf("cut at byte %d of %d: %d records, want %d", cut, end, l.Last(), whole+kept)
		}
		if records, err := l.Read(t.Context(), whole, 1); err != nil || string(records[0].Msg.Data) != string(numbered(whole-1).Data) {
			t.Fatalf("cut at byte %d: the last whole one before: %v", cut, err)
		}
		if err := l.Append(t.Context(), []*nats.Msg{numbered(1)}, 0); err != nil {
			t.Fatalf("cut at byte %d: %v", cut, err)
		}
		closed(t, l)
		os.RemoveAll(dir) //nolint:errcheck // the test's own folder goes anyway
	}
}

func fileSize(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestServerGone: if the server is gone, calls return an error and do not hang.
func TestServerGone(t *testing.T) {
	l := open(t, lock(t, t.TempDir()), plenty)
	fill(t, l, 0, 10)
	l.srv.Shutdown()
	ctx := context.Background()
	if err := l.Append(ctx, []*nats.Msg{numbered(1)}, 0); err == nil {
		t.Error("stored by nobody")
	}
	if _, err := l.Read(ctx, 1, 10); err == nil {
		t.Error("read from nobody")
	}
	if err := l.Remove(ctx, 1); err == nil {
		t.Error("removed by nobody")
	}
	closed(t, l)
}

// TestDamagedRecords flips a byte, in the middle and in the last record, after a crash. What can be
// read is read, and the rest is reported.
func TestDamagedRecords(t *testing.T) {
	const count = 300
	f := lock(t, t.TempDir())
	l := open(t, f, plenty)
	defer l.Close() //nolint:errcheck // it is not empty
	fill(t, l, 0, count)
	size := fileSize(t, newest(t, f.Dir()))
	for _, at := range []int64{size / 2, size/2 + 400, size - 20, size - 1} {
		dir := copyOf(t, f.Dir())
		flip(t, newest(t, dir), at)
		damaged := open(t, lock(t, dir), plenty)
		read, holes := 0, int(count-damaged.Last())
		for next := damaged.First(); next <= damaged.Last(); {
			records, err := damaged.Read(t.Context(), next, 64)
			if errors.Is(err, ErrDamaged) {
				holes += int(damaged.Last() + 1 - next)
				break
			}
			if err != nil {
				t.Fatalf("byte %d: %v", at, err)
			}
			holes += int(records[0].Sequence - next)
			for i, r := range records {
				if m := numbered(int(r.Sequence) - 1); string(r.Msg.Data) != string(m.Data) || r.Msg.Subject != m.Subject {
					t.Errorf("byte %d: record %d is %.40q", at, r.Sequence, r.Msg.Data)
				}
				if i > 0 {
					holes += int(r.Sequence - records[i-1].Sequence - 1)
				}
			}
			read += len(records)
			next = records[len(records)-1].Sequence + 1
		}
		if read+holes != count || holes == 0 || read < count/3 {
			t.Errorf("byte %d: %d records read, %d missed", at, read, holes)
		}
		closed(t, damaged)
	}
}

func flip(t *testing.T, name string, at int64) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // the write has told
	one := make([]byte, 1)
	if _, err := file.ReadAt(one, at); err != nil {
		t.Fatal(err)
	}
	one[0] ^= 0x10
	if _, err := file.WriteAt(one, at); err != nil {
		t.Fatal(err)
	}
}

// TestReadAtOnce reads each message as soon as it was appended: a record that is not visible yet is
// not taken for damaged.
func TestReadAtOnce(t *testing.T) {
	l := open(t, lock(t, t.TempDir()), plenty)
	defer l.Close() //nolint:errcheck // it is not empty
	next := l.First()
	for n := range 4000 {
		fill(t, l, n, n+1)
		records, err := l.Read(t.Context(), next, 64)
		if err != nil || records[0].Sequence != next {
			t.Fatalf("message %d: %v", n, err)
		}
		next++
	}
}
