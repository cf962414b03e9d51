// A session with franz-go: program session <address> <prefix of topic names>; or a member of a group (member.go), or a
// load that outlives its broker (load.go).
// Prints one line per step: "ok <step>" or "FAIL <step>: <reason>"; exit status 1 if one failed.
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var address, prefix = os.Args[2], os.Args[3]

const wait = 180 * time.Second

func client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address)}, opts...)...)
}

func create(ctx context.Context, name string, partitions int32) (string, error) {
	cl, err := client()
	if err != nil {
		return "", err
	}
	defer cl.Close()
	topic := prefix + "-" + name
	r, err := kadm.NewClient(cl).CreateTopic(ctx, partitions, 1, nil, topic)
	if err == nil {
		err = r.Err
	}
	return topic, err
}

func line(i int) string { return fmt.Sprintf("%d line with ünïcode", i) }

// produce sends n lines and checks the offsets that come back when there is one partition.
func produce(ctx context.Context, topic string, n int, keyed bool, opts ...kgo.Opt) error {
	cl, err := client(append(opts, kgo.DefaultProduceTopic(topic))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	var mu sync.Mutex
	var first error
	for i := 0; i < n; i++ {
		r := kgo.StringRecord(line(i))
		if keyed {
			r.Key = []byte(fmt.Sprintf("k%d", i%7))
		}
		want := int64(i)
		cl.Produce(ctx, r, func(r *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil && !keyed && r.Offset != want {
				err = fmt.Errorf("offset %d for record %d", r.Offset, want)
			}
			if err != nil && first == nil {
				first = err
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	return first
}

func read(ctx context.Context, cl *kgo.Client, n int) ([]*kgo.Record, error) {
	var got []*kgo.Record
	for len(got) < n {
		f := cl.PollRecords(ctx, n-len(got))
		if err := f.Err(); err != nil {
			return got, fmt.Errorf("after %d records: %w", len(got), err)
		}
		got = append(got, f.Records()...)
	}
	return got, nil
}

func check(got []*kgo.Record, from int) error {
	for i, r := range got {
		if string(r.Value) != line(from+i) {
			return fmt.Errorf("record %d is %q, wanted %q", i, r.Value, line(from+i))
		}
	}
	return nil
}

// codecs: batches of hundreds of KB, in which snappy's encoder here copies from more than 64 KiB before.
func codecs(ctx context.Context) error {
	all := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	for name, codec := range all {
		topic, err := create(ctx, "codec-"+name, 1)
		if err != nil {
			return err
		}
		if err := produce(ctx, topic, 20000, false, kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(200*time.Millisecond)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		cl, err := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(100)}}))
		if err != nil {
			return err
		}
		got, err := read(ctx, cl, 19900)
		cl.Close()
		if err == nil {
			err = check(got, 100)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func keys(ctx context.Context) error {
	topic, err := create(ctx, "keyed", 3)
	if err != nil {
		return err
	}
	if err := produce(ctx, topic, 300, true); err != nil {
		return err
	}
	cl, err := client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	got, err := read(ctx, cl, 300)
	where := map[string]map[int32]bool{}
	for _, r := range got {
		if where[string(r.Key)] == nil {
			where[string(r.Key)] = map[int32]bool{}
		}
		where[string(r.Key)][r.Partition] = true
	}
	for k, p := range where {
		if len(p) != 1 {
			return fmt.Errorf("key %s is in %d partitions", k, len(p))
		}
	}
	return err
}

func resume(ctx context.Context) error {
	topic, err := create(ctx, "resume", 1)
	if err != nil {
		return err
	}
	if err := produce(ctx, topic, 100, false); err != nil {
		return err
	}
	group := prefix + "-resume"
	for from, n := 0, 40; from < 100; from, n = from+n, 60 {
		cl, err := client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			return err
		}
		got, err := read(ctx, cl, n)
		if err == nil {
			err = check(got, from)
		}
		if err == nil {
			err = cl.CommitRecords(ctx, got...)
		}
		cl.Close()
		if err != nil {
			return err
		}
	}
	cl, err := client()
	if err != nil {
		return err
	}
	defer cl.Close()
	lag, err := kadm.NewClient(cl).Lag(ctx, group)
	if err != nil {
		return err
	}
	l := lag[group]
	if l.Error() != nil || l.Lag.Total() != 0 || l.Lag[topic][0].Commit.At != 100 {
		return fmt.Errorf("lag %v", l)
	}
	return nil
}

// seek reads everything in a group, goes back, and reads what is behind that again; twice.
func seek(ctx context.Context) error {
	topic, err := create(ctx, "seek", 1)
	if err != nil {
		return err
	}
	if err := produce(ctx, topic, 50, false); err != nil {
		return err
	}
	cl, err := client(kgo.ConsumerGroup(prefix+"-seek"), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	for _, from := range []int{0, 45, 20} {
		if from > 0 {
			cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {0: {Epoch: -1, Offset: int64(from)}}})
		}
		got, err := read(ctx, cl, 50-from)
		if err == nil {
			err = check(got, from)
		}
		if err != nil {
			return fmt.Errorf("from %d: %w", from, err)
		}
	}
	return nil
}

// member is one of a group; its assignment is kept up to date by the callbacks.
type member struct {
	sync.Mutex
	cl  *kgo.Client
	has map[int32]bool
}

func join(group, topic string) (*member, error) {
	m := &member{has: map[int32]bool{}}
	var err error
	m.cl, err = client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.SessionTimeout(30*time.Second),
		kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, a map[string][]int32) {
			m.Lock()
			defer m.Unlock()
			for _, p := range a[topic] {
				m.has[p] = true
			}
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, a map[string][]int32) {
			m.Lock()
			defer m.Unlock()
			for _, p := range a[topic] {
				delete(m.has, p)
			}
		}))
	return m, err
}

func (m *member) count() int {
	m.Lock()
	defer m.Unlock()
	return len(m.has)
}

func until(ctx context.Context, what string, ok func() bool) error {
	for !ok() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("never: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func pair(ctx context.Context) error {
	topic, err := create(ctx, "pair", 4)
	if err != nil {
		return err
	}
	a, err := join(prefix+"-pair", topic)
	if err != nil {
		return err
	}
	b, err := join(prefix+"-pair", topic)
	if err != nil {
		return err
	}
	defer b.cl.Close()
	if err := until(ctx, "two partitions each", func() bool { return a.count() == 2 && b.count() == 2 }); err != nil {
		a.cl.Close()
		return err
	}
	a.cl.Close()
	return until(ctx, "all four after the other left", func() bool { return b.count() == 4 })
}

// pattern produces one by one, and reads by a regular expression until nothing more comes in time.
func pattern(ctx context.Context) error {
	topic, err := create(ctx, "by-pattern-1", 1)
	if err != nil {
		return err
	}
	out, err := client()
	if err != nil {
		return err
	}
	defer out.Close()
	for i := 0; i < 20; i++ {
		r, err := out.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(line(i))}).First()
		if err != nil || r.Offset != int64(i) {
			return fmt.Errorf("record %d: %v, %w", i, r, err)
		}
	}
	cl, err := client(kgo.ConsumerGroup(prefix+"-pattern"), kgo.ConsumeRegex(), kgo.ConsumeTopics("^"+prefix+"-by-pattern-.*"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	got, err := read(ctx, cl, 20)
	if err == nil {
		err = check(got, 0)
	}
	if err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if f := cl.PollFetches(short); f.NumRecords() != 0 || short.Err() == nil {
		return fmt.Errorf("%d records from beyond the end", f.NumRecords())
	}
	return nil
}

func main() {
	if others := map[string]func(address, topic, more string) error{"member": runMember, "load": runLoad}; others[os.Args[1]] != nil {
		if err := others[os.Args[1]](address, os.Args[3], os.Args[4]); err != nil {
			fmt.Println("FAIL", err)
			os.Exit(1)
		}
		return
	}
	steps := map[string]func(context.Context) error{"codecs": codecs, "keys": keys, "resume": resume, "pair": pair,
		"pattern": pattern, "seek": seek}
	var names []string
	for n := range steps {
		names = append(names, n)
	}
	sort.Strings(names)
	failed := 0
	for _, n := range names {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		if err := steps[n](ctx); err != nil {
			failed = 1
			fmt.Printf("FAIL %s: %v\n", n, err)
		} else {
			fmt.Printf("ok %s\n", n)
		}
		cancel()
	}
	os.Exit(failed)
}
