import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.Readable;

/**
 * Holds golden lines against the Java client's own generated classes. Each input line is
 * `<message class> <version> <hex> <json as Kafka's JsonConverter wants it, or ->`.
 * Decodes the bytes and writes them again; builds the message from the JSON and writes that.
 */
public class GoldenCheck {
    private static final String PACKAGE = "org.apache.kafka.common.message.";

    private static String write(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        return HexFormat.of().formatHex(buffer.array(), 0, buffer.position());
    }

    private static void same(String how, String wanted, String got) {
        if (!wanted.equals(got)) {
            throw new IllegalStateException(how + " gave " + got);
        }
    }

    private static void check(String name, short version, String hex, String json)
            throws Exception {
        Class<?> type = Class.forName(PACKAGE + name);
        ByteBuffer bytes = ByteBuffer.wrap(HexFormat.of().parseHex(hex));
        Message decoded = (Message) type.getConstructor(Readable.class, short.class)
            .newInstance(new ByteBufferAccessor(bytes), version);
        if (bytes.hasRemaining()) {
            throw new IllegalStateException(bytes.remaining() + " bytes left over");
        }
        same("writing again", hex, write(decoded, version));
        if (json.equals("-")) {
            return;
        }
        JsonNode node = new ObjectMapper().readTree(json);
        Method read = Class.forName(PACKAGE + name + "JsonConverter")
            .getMethod("read", JsonNode.class, short.class);
        same("writing from JSON", hex, write((Message) read.invoke(null, node, version), version));
    }

    public static void main(String[] args) throws Exception {
        int passed = 0, failed = 0;
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            String[] part = line.split(" ", 4);
            try {
                check(part[0], Short.parseShort(part[1]), part[2].equals("-") ? "" : part[2],
                    part[3]);
                passed++;
            } catch (Throwable e) {
                Throwable cause = e.getCause() == null ? e : e.getCause();
                System.out.println("FAIL " + part[0] + " v" + part[1] + ": " + cause);
                failed++;
            }
        }
        System.out.println(passed + " agreed, " + failed + " disagreed");
        System.exit(failed == 0 ? 0 : 1);
    }
}
