import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import io.netty.channel.Channel;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.h2.mvstore.MVStore;

/**
 * A MongoDB-compatible server for tests: mongo-java-server on one H2 file. Arguments: address, port, file; without a
 * file the data is in memory alone.
 *
 * <p>Three promises of MongoDB that mongo-java-server does not keep are added here. One command runs at a time and its
 * answer is copied before the next one starts: the library changes stored documents in place, and would encode an
 * answer while another command writes to it. And a write is in the file before it is acknowledged, so that it
 * survives the end of this process, kill -9 included. And a collection has a UUID, another one each time that it is
 * made.
 */
public final class WireServer extends H2Backend {
    private static final Set<String> WRITES =
            Set.of("insert", "update", "delete", "findAndModify", "createIndexes", "drop", "dropDatabase");

    private final MVStore beside;
    private final Map<String, UUID> uuids;

    private WireServer(MVStore file, MVStore beside) {
        super(file);
        this.beside = beside;
        this.uuids = beside.openMap("uuids");
        version(new Version());
    }

    @Override
    public synchronized Document handleCommand(Channel channel, String database, String command, Document query) {
        Document answer = super.handleCommand(channel, database, command, query).cloneDeeply();
        if (WRITES.contains(command)) {
            commit();
        }
        switch (command) {
            case "drop" -> uuids.remove(database + "." + query.get(command));
            case "dropDatabase" -> List.copyOf(uuids.keySet()).stream()
                    .filter(name -> name.startsWith(database + "."))
                    .forEach(uuids::remove);
            case "listCollections" -> ((List<?>) ((Document) answer.get("cursor")).get("firstBatch"))
                    .forEach(each -> identify(database, (Document) each));
            default -> {}
        }
        beside.commit();
        return answer;
    }

    private void identify(String database, Document collection) {
        String name = database + "." + collection.get("name");
        UUID uuid = uuids.computeIfAbsent(name, unseen -> UUID.randomUUID());
        ((Document) collection.get("info")).put("uuid", uuid);
    }

    /** The oldest that today's drivers talk to; what Purser uses has not changed since long before it. */
    private static final class Version implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(4, 4, 0);
        }

        @Override
        public int getWireVersion() {
            return 9;
        }
    }

    public static void main(String[] arguments) {
        MVStore.Builder store = new MVStore.Builder().autoCommitDisabled();
        MVStore.Builder beside = new MVStore.Builder().autoCommitDisabled();
        if (arguments.length > 2) {
            store.fileName(arguments[2]);
            beside.fileName(arguments[2] + ".uuids");
        }
        MongoServer server = new MongoServer(new WireServer(store.open(), beside.open()));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind(arguments[0], Integer.parseInt(arguments[1]));
    }
}
