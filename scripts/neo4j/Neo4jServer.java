import java.nio.file.Path;
import java.util.Map;
import org.neo4j.configuration.GraphDatabaseSettings;
import org.neo4j.configuration.connectors.BoltConnector;
import org.neo4j.configuration.helpers.SocketAddress;
import org.neo4j.dbms.api.DatabaseManagementService;
import org.neo4j.dbms.api.DatabaseManagementServiceBuilder;

/**
 * Runs the Neo4j Community kernel with its Bolt server until SIGTERM, which shuts it down cleanly.
 *
 * <p>Usage: java -cp 'lib/*' Neo4jServer.java HOME CONF PORT
 *
 * <p>HOME holds data and logs, CONF is a neo4j.conf, PORT is listened on at 127.0.0.1 alone. With
 * TRELLIS_SERVICES_NEO4J_PASSWORD set, clients must log in as neo4j with it (the password is set at every
 * start, so there is no first-login change); without it anyone who reaches the port may do anything.
 */
class Neo4jServer {
  public static void main(String[] args) {
    if (args.length != 3) {
      System.err.println("usage: Neo4jServer HOME CONF PORT");
      System.exit(2);
    }
    String password = System.getenv().getOrDefault("TRELLIS_SERVICES_NEO4J_PASSWORD", "");
    DatabaseManagementService dbms =
        new DatabaseManagementServiceBuilder(Path.of(args[0]))
            .loadPropertiesFromFile(Path.of(args[1]))
            .setConfig(BoltConnector.enabled, true)
            .setConfig(
                BoltConnector.listen_address,
                new SocketAddress("127.0.0.1", Integer.parseInt(args[2])))
            .setConfig(GraphDatabaseSettings.auth_enabled, !password.isEmpty())
            .build();
    Runtime.getRuntime().addShutdownHook(new Thread(dbms::shutdown));
    if (!password.isEmpty()) {
      dbms.database(GraphDatabaseSettings.SYSTEM_DATABASE_NAME)
          .executeTransactionally(
              "ALTER USER neo4j SET PASSWORD $password CHANGE NOT REQUIRED",
              Map.of("password", password));
    }
    System.out.println("bolt ready on " + args[2]);
    try {
      Thread.currentThread().join(); // until the shutdown hook ends the process
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
