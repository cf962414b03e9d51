import java.time.Duration;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/**
 * One member of a consumer group, in a process of its own: GroupMember <address> <topic> <group> <protocol>,
 * classic or consumer. Prints a line per event, as group_member.py does: "assigned 0,1" (what it holds then),
 * "got <partition> <offset>", "committed", "left". Commits after every poll that brought something. Leaves when
 * its input ends. The session of a classic member lasts MEMBER_SESSION_MS.
 */
public class GroupMember {
    static final SortedSet<Integer> held = new TreeSet<>();
    static volatile boolean ended;

    static void sayHeld() {
        String text = held.stream().map(String::valueOf).collect(Collectors.joining(","));
        System.out.println("assigned " + (text.isEmpty() ? "-" : text));
    }

    static class Listener implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            partitions.forEach(p -> held.add(p.partition()));
            sayHeld();
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            partitions.forEach(p -> held.remove(p.partition()));
            sayHeld();
        }
    }

    static void readInput() {
        try {
            while (System.in.read() >= 0)
                continue;
        } catch (java.io.IOException e) {
            // it ended too
        }
        ended = true;
    }

    public static void main(String[] args) {
        Map<String, Object> m = new HashMap<>();
        m.put("bootstrap.servers", args[0]);
        m.put("group.id", args[2]);
        m.put("group.protocol", args[3]);
        m.put("auto.offset.reset", "earliest");
        m.put("enable.auto.commit", "false");
        if (args[3].equals("classic")) {
            m.put("session.timeout.ms", System.getenv().getOrDefault("MEMBER_SESSION_MS", "30000"));
            m.put("heartbeat.interval.ms", "300");
        }
        Thread input = new Thread(GroupMember::readInput);
        input.setDaemon(true);
        input.start();
        try (KafkaConsumer<byte[], byte[]> c =
                 new KafkaConsumer<>(m, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            c.subscribe(List.of(args[1]), new Listener());
            while (!ended) {
                ConsumerRecords<byte[], byte[]> found = c.poll(Duration.ofMillis(200));
                found.forEach(r -> System.out.println("got " + r.partition() + " " + r.offset()));
                if (found.isEmpty())
                    continue;
                try {
                    c.commitSync();
                    System.out.println("committed");
                } catch (KafkaException e) { // a rebalance, or the broker is away: who gets them reads them again
                    System.out.println("not committed " + e.getClass().getSimpleName());
                }
            }
        }
        System.out.println("left");
    }
}
