import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.Pattern;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/**
 * A session with the Java client: ClientSession <address> <prefix of topic names> <group protocol>.
 * The group protocol is classic or consumer. Prints one line per step: "ok <step>" or
 * "FAIL <step>: <reason>"; exit status 1 if one failed.
 */
public class ClientSession {
    static String address, prefix, protocol;
    static final long WAIT_MS = 180_000;

    interface Step {
        void run() throws Exception;
    }

    static Map<String, Object> common() {
        Map<String, Object> m = new HashMap<>();
        m.put("bootstrap.servers", address);
        return m;
    }

    static String create(String name, int partitions) throws Exception {
        try (Admin admin = Admin.create(common())) {
            admin.createTopics(List.of(new NewTopic(prefix + "-" + name, partitions, (short) 1))).all().get();
        }
        return prefix + "-" + name;
    }

    static KafkaProducer<String, String> producer(Object... options) {
        Map<String, Object> m = common();
        m.put("acks", "all");
        for (int i = 0; i < options.length; i += 2)
            m.put((String) options[i], options[i + 1]);
        return new KafkaProducer<>(m, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String group, Object... options) {
        Map<String, Object> m = common();
        m.put("group.id", group);
        m.put("group.protocol", protocol);
        m.put("auto.offset.reset", "earliest");
        m.put("enable.auto.commit", "false");
        if (protocol.equals("classic")) {
            m.put("session.timeout.ms", "30000");
            m.put("heartbeat.interval.ms", "500");
        }
        for (int i = 0; i < options.length; i += 2)
            m.put((String) options[i], options[i + 1]);
        return new KafkaConsumer<>(m, new StringDeserializer(), new StringDeserializer());
    }

    static String line(int i) {
        return i + " line with ünïcode";
    }

    static void fill(String topic, int n, Object... options) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        List<Exception> failed = Collections.synchronizedList(new ArrayList<>());
        try (KafkaProducer<String, String> p = producer(options)) {
            for (int i = 0; i < n; i++)
                sent.add(p.send(new ProducerRecord<>(topic, "k" + i % 7, line(i)), (meta, e) -> {
                    if (e != null)
                        failed.add(e);
                }));
        }
        for (Future<RecordMetadata> f : sent)
            f.get();
        same(failed, List.of(), "failures");
    }

    static void same(Object got, Object wanted, String what) {
        if (!Objects.equals(got, wanted))
            throw new AssertionError(what + ": got " + cut(got) + ", wanted " + cut(wanted));
    }

    static String cut(Object o) {
        String s = String.valueOf(o);
        return s.length() > 300 ? s.substring(0, 300) : s;
    }

    static List<ConsumerRecord<String, String>> read(KafkaConsumer<String, String> c, int n) {
        List<ConsumerRecord<String, String>> got = new ArrayList<>();
        long end = System.currentTimeMillis() + WAIT_MS;
        while (got.size() < n) {
            c.poll(Duration.ofMillis(200)).forEach(got::add);
            if (System.currentTimeMillis() > end)
                throw new AssertionError("only " + got.size() + " of " + n + " records");
        }
        return got;
    }

    static List<String> values(List<ConsumerRecord<String, String>> records) {
        return records.stream().map(ConsumerRecord::value).collect(Collectors.toList());
    }

    static List<String> lines(int from, int to) {
        return IntStream.range(from, to).mapToObj(ClientSession::line).collect(Collectors.toList());
    }

    static void codecs() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = create("codec-" + codec, 1);
            fill(topic, 300, "compression.type", codec, "linger.ms", "20");
            try (KafkaConsumer<String, String> c = consumer(prefix + "-unused")) {
                TopicPartition tp = new TopicPartition(topic, 0);
                c.assign(List.of(tp));
                c.seekToBeginning(List.of(tp));
                same(values(read(c, 300)), lines(0, 300), codec);
                c.seek(tp, 290);
                same(values(read(c, 10)), lines(290, 300), codec + " after a seek");
                same(c.endOffsets(List.of(tp)).get(tp), 300L, "end offset");
            }
        }
    }

    static void oneByOne() throws Exception {
        String topic = create("sync", 1);
        try (KafkaProducer<String, String> p = producer("linger.ms", "0")) {
            for (int i = 0; i < 50; i++)
                same(p.send(new ProducerRecord<>(topic, line(i))).get().offset(), (long) i, "offset");
        }
    }

    /** Polls and requests that come to nothing in their time, and a record that comes later. */
    static void timeouts() throws Exception {
        String topic = create("timeouts", 1);
        TopicPartition tp = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> c = consumer(prefix + "-unused", "fetch.max.wait.ms", "100")) {
            c.assign(List.of(tp));
            c.seekToEnd(List.of(tp));
            same(c.position(tp), 0L, "position at the end");
            for (int i = 0; i < 3; i++)
                same(c.poll(Duration.ofMillis(250)).count(), 0, "records from beyond the end");
            fill(topic, 1);
            same(values(read(c, 1)), lines(0, 1), "what came later");
        }
        try (KafkaProducer<String, String> p = producer("max.block.ms", "1500")) {
            p.send(new ProducerRecord<>(topic, 7, null, "no such partition")).get();
            throw new AssertionError("a record went to a partition that is not there");
        } catch (ExecutionException e) {
            same(e.getCause().getClass(), org.apache.kafka.common.errors.TimeoutException.class, "failure");
        }
    }

    static void resume() throws Exception {
        String topic = create("resume", 1), group = prefix + "-resume";
        fill(topic, 100);
        TopicPartition tp = new TopicPartition(topic, 0);
        List<String> got = new ArrayList<>();
        try (KafkaConsumer<String, String> c = consumer(group, "max.poll.records", "40")) {
            c.subscribe(List.of(topic));
            got.addAll(values(read(c, 40)));
            c.commitSync();
            same(c.committed(Set.of(tp)).get(tp).offset(), 40L, "committed");
        }
        try (KafkaConsumer<String, String> c = consumer(group)) {
            c.subscribe(List.of(topic));
            got.addAll(values(read(c, 60)));
            CompletableFuture<Exception> done = new CompletableFuture<>();
            c.commitAsync((offsets, e) -> done.complete(e));
            for (int i = 0; i < WAIT_MS / 100 && !done.isDone(); i++)
                c.poll(Duration.ofMillis(100));
            same(done.getNow(new Exception("no callback")), null, "asynchronous commit");
        }
        same(got, lines(0, 100), "values over both");
        try (Admin admin = Admin.create(common())) {
            same(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(tp).offset(), 100L,
                 "offset seen by the admin");
        }
    }

    /** A consumer on a thread of its own that keeps its assignment in view. */
    static class Member extends Thread {
        final String group, topic;
        volatile Set<TopicPartition> has = Set.of();
        volatile boolean stop;
        volatile Throwable failed;
        final Set<String> seen = ConcurrentHashMap.newKeySet();

        Member(String group, String topic) {
            this.group = group;
            this.topic = topic;
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            try (KafkaConsumer<String, String> c = consumer(group)) {
                c.subscribe(List.of(topic));
                while (!stop) {
                    c.poll(Duration.ofMillis(100)).forEach(r -> seen.add(r.partition() + "/" + r.offset()));
                    has = Set.copyOf(c.assignment());
                }
            } catch (Throwable e) {
                failed = e;
            }
        }
    }

    static void until(String what, Callable<Boolean> ok) throws Exception {
        long end = System.currentTimeMillis() + WAIT_MS;
        while (!ok.call()) {
            if (System.currentTimeMillis() > end)
                throw new AssertionError("never: " + what);
            Thread.sleep(50);
        }
    }

    static void pair() throws Exception {
        String topic = create("pair", 4);
        fill(topic, 200);
        Member a = new Member(prefix + "-pair", topic), b = new Member(prefix + "-pair", topic);
        try {
            until("two partitions each", () -> a.has.size() == 2 && b.has.size() == 2);
            Set<TopicPartition> both = new HashSet<>(a.has);
            both.addAll(b.has);
            same(both.size(), 4, "partitions of both");
            Set<String> seen = new HashSet<>();
            until("every record", () -> {
                seen.addAll(a.seen);
                seen.addAll(b.seen);
                return seen.size() == 200;
            });
            a.stop = true;
            a.join(WAIT_MS);
            until("all four after the other left", () -> b.has.size() == 4);
        } finally {
            a.stop = b.stop = true;
            b.join(WAIT_MS);
        }
        same(a.failed, null, "first member");
        same(b.failed, null, "second member");
    }

    static void pattern() throws Exception {
        String topic = create("by-pattern-1", 1);
        fill(topic, 20);
        try (KafkaConsumer<String, String> c = consumer(prefix + "-pattern", "metadata.max.age.ms", "1000")) {
            c.subscribe(Pattern.compile(prefix + "-by-pattern-.*"));
            same(values(read(c, 20)), lines(0, 20), "values");
        }
    }

    /** KIP-848: the broker matches the expression, RE2's. A class of its own: the client of 3.9 has no such pattern. */
    static class ServerPattern {
        static void run() throws Exception {
            fill(create("server-pattern-1", 1), 20);
            try (KafkaConsumer<String, String> c = consumer(prefix + "-server-pattern")) {
                c.subscribe(new SubscriptionPattern(prefix + "-server-pattern-[0-9]+"));
                same(values(read(c, 20)), lines(0, 20), "values");
                fill(create("server-pattern-22", 1), 5);
                same(values(read(c, 5)), lines(0, 5), "values of a topic that came later");
            }
        }
    }

    public static void main(String[] args) {
        address = args[0];
        prefix = args[1];
        protocol = args[2];
        Map<String, Step> steps = new LinkedHashMap<>();
        steps.put("codecs", ClientSession::codecs);
        steps.put("oneByOne", ClientSession::oneByOne);
        steps.put("timeouts", ClientSession::timeouts);
        steps.put("resume", ClientSession::resume);
        steps.put("pair", ClientSession::pair);
        steps.put("pattern", ClientSession::pattern);
        if (protocol.equals("consumer"))
            steps.put("serverPattern", () -> ServerPattern.run());
        int failed = 0;
        for (Map.Entry<String, Step> s : steps.entrySet()) {
            try {
                s.getValue().run();
                System.out.println("ok " + s.getKey());
            } catch (Throwable e) {
                failed = 1;
                System.out.println("FAIL " + s.getKey() + ": " + e);
            }
        }
        System.exit(failed);
    }
}
