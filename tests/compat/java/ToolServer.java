import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the mains of Kafka's tools one after another in this JVM. A line of JSON in
 * ({"main", "args", "stdin"}), a line of JSON out ({"code", "out", "err"}).
 */
public class ToolServer {
    private static final class Exited extends RuntimeException {
        Exited(int code) {
            super("exit " + code, null, false, false);
        }
    }

    /** What the tool first wanted to exit with: some of them catch the exception and exit again. */
    private static Integer wanted;

    private static void exit(int code) {
        if (wanted == null) {
            wanted = code;
        }
        throw new Exited(code);
    }

    private static int run(JsonNode command) throws Exception {
        String[] args = new String[command.get("args").size()];
        for (int i = 0; i < args.length; i++) {
            args[i] = command.get("args").get(i).asText();
        }
        try {
            Class.forName(command.get("main").asText()).getMethod("main", String[].class)
                .invoke(null, (Object) args);
            return 0;
        } catch (InvocationTargetException e) {
            if (!(e.getCause() instanceof Exited)) {
                e.getCause().printStackTrace();
                return 1;
            }
            return 0;
        }
    }

    public static void main(String[] argv) throws Exception {
        Exit.setExitProcedure((code, message) -> exit(code));
        Exit.setHaltProcedure((code, message) -> exit(code));
        List<Runnable> hooks = new ArrayList<>();
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        ObjectMapper mapper = new ObjectMapper();
        PrintStream answer = new PrintStream(new FileOutputStream(FileDescriptor.out), true,
            StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in,
            StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode command = mapper.readTree(line);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
            System.setIn(new ByteArrayInputStream(
                command.get("stdin").asText().getBytes(StandardCharsets.UTF_8)));
            wanted = null;
            int code = run(command);
            code = wanted == null ? code : wanted;
            hooks.forEach(Runnable::run);
            hooks.clear();
            System.out.flush();
            System.err.flush();
            answer.println(mapper.writeValueAsString(Map.of("code", code,
                "out", out.toString(StandardCharsets.UTF_8),
                "err", err.toString(StandardCharsets.UTF_8))));
            answer.flush();
        }
    }
}
