package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// holding is what a member of a group holds of one topic; it says each change.
type holding struct {
	sync.Mutex
	topic string
	has   map[int32]bool
}

func (h *holding) change(of map[string][]int32, now bool) {
	h.Lock()
	defer h.Unlock()
	for _, p := range of[h.topic] {
		if now {
			h.has[p] = true
		} else {
			delete(h.has, p)
		}
	}
	var names []string
	for p := range h.has {
		names = append(names, strconv.Itoa(int(p)))
	}
	sort.Strings(names)
	if len(names) == 0 {
		names = []string{"-"}
	}
	fmt.Println("assigned", strings.Join(names, ","))
}

// runMember is one member of a group in a process of its own: program member <address> <topic> <group>. It prints a line
// per event as group_member.py does, commits after every poll that brought something, and leaves when its input ends.
func runMember(address, topic, group string) error {
	ms, err := strconv.Atoi(os.Getenv("MEMBER_SESSION_MS"))
	if err != nil {
		ms = 30000
	}
	h := &holding{topic: topic, has: map[int32]bool{}}
	gained := func(_ context.Context, _ *kgo.Client, p map[string][]int32) { h.change(p, true) }
	gone := func(_ context.Context, _ *kgo.Client, p map[string][]int32) { h.change(p, false) }
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(time.Duration(ms)*time.Millisecond), kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.OnPartitionsAssigned(gained), kgo.OnPartitionsRevoked(gone), kgo.OnPartitionsLost(gone))
	if err != nil {
		return err
	}
	ended, end := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		end()
	}()
	for ended.Err() == nil {
		short, cancel := context.WithTimeout(ended, 200*time.Millisecond)
		records := cl.PollFetches(short).Records()
		cancel()
		for _, r := range records {
			fmt.Println("got", r.Partition, r.Offset)
		}
		if len(records) > 0 {
			commit, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			if err := cl.CommitUncommittedOffsets(commit); err != nil {
				fmt.Println("not committed", err)
			} else {
				fmt.Println("committed")
			}
			cancel()
		}
		cl.AllowRebalance()
	}
	cl.CloseAllowingRebalance()
	fmt.Println("left")
	return nil
}
