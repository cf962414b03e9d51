import kafka.tools.StorageTool;

/** Formats the storage named by a server.properties, if it is new, and runs stock Kafka on it. */
public class StockBroker {
    public static void main(String[] args) throws Exception {
        String[] format = {"format", "--ignore-formatted", "-t", args[1], "-c", args[0]};
        int code = StorageTool.execute(format, System.out);
        if (code != 0) {
            System.exit(code);
        }
        kafka.Kafka.main(new String[] {args[0]});
    }
}
