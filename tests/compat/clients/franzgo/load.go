package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const flushWait = 110 * time.Second

// runLoad produces numbered records to the partitions of a topic in turn until its input ends: program load <address>
// <topic> <partitions>. It prints "ack <partition> <offset> <number>" or "failed <reason>" for each, in the order of the
// reports, and "sent <count>" at last. The producer is idempotent and tries until it is answered, as is usual here.
func runLoad(address, topic, count string) error {
	partitions, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(2*time.Millisecond), kgo.UnknownTopicRetries(-1),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }))
	if err != nil {
		return err
	}
	defer cl.Close()
	end := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(end)
	}()
	var mu sync.Mutex
	report := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(line)
	}
	sent := 0
	for on := true; on; sent++ {
		number := sent
		r := &kgo.Record{Value: []byte(fmt.Sprintf("record %d", number)), Partition: int32(number % partitions)}
		cl.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			if err != nil {
				report(fmt.Sprintf("failed %v", err))
			} else {
				report(fmt.Sprintf("ack %d %d %d", r.Partition, r.Offset, number))
			}
		})
		pause := time.Duration(0)
		if sent%20 == 19 {
			pause = 10 * time.Millisecond
		}
		select {
		case <-end:
			on = false
		case <-time.After(pause):
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushWait)
	defer cancel()
	err = cl.Flush(ctx)
	report(fmt.Sprintf("sent %d", sent))
	return err
}
