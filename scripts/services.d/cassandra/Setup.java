import com.datastax.driver.core.Cluster;
import com.datastax.driver.core.ProtocolVersion;
import com.datastax.driver.core.RemoteEndpointAwareJdkSSLOptions;
import com.datastax.driver.core.SSLOptions;
import com.datastax.driver.core.Session;
import com.datastax.driver.core.exceptions.AuthenticationException;
import com.datastax.driver.core.exceptions.NoHostAvailableException;
import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Waits until a Cassandra node answers to its administrator, whom it makes the first time, and then makes the roles.
 *
 * <p>Usage: Setup PORT TLS_DIR PASSWORD_DIR. A new node has the superuser cassandra with a known password; it is used once,
 * to make cassandra_admin, and then locked. Passwords are read from files: arguments and environment can be seen by others.
 */
public class Setup {
  private static final String ADMIN = "cassandra_admin";

  private final int port;
  private final SSLOptions tls;
  private final Path passwords;

  private Setup(int port, Path tlsFolder, Path passwords) throws Exception {
    this.port = port;
    this.tls = tls(tlsFolder);
    this.passwords = passwords;
  }

  public static void main(String[] args) throws Exception {
    new Setup(Integer.parseInt(args[0]), Path.of(args[1]), Path.of(args[2])).settle();
    // A cluster that is closed in good order takes two seconds to do so.
    Runtime.getRuntime().halt(0);
  }

  private void settle() throws Exception {
    long deadline = System.nanoTime() + 180_000_000_000L;
    while (true) {
      try {
        run(ADMIN, password(ADMIN), statements());
        return;
      } catch (AuthenticationException | NoHostAvailableException e) {
        if (System.nanoTime() > deadline) {
          throw e;
        }
        if (e instanceof AuthenticationException) {
          makeAdmin();
        }
        Thread.sleep(200);
      }
    }
  }

  /** The default superuser appears a moment after the port opens, so a refusal here is no error. */
  private void makeAdmin() throws Exception {
    try {
      run(
          "cassandra",
          "cassandra",
          List.of(
              "CREATE ROLE IF NOT EXISTS " + ADMIN
                  + " WITH SUPERUSER = true AND LOGIN = true AND PASSWORD = '" + password(ADMIN) + "'"));
    } catch (AuthenticationException | NoHostAvailableException e) {
      // The caller tries again.
    }
  }

  /** Every one may be repeated. */
  private List<String> statements() throws Exception {
    List<String> statements = new ArrayList<>();
    statements.add("ALTER ROLE cassandra WITH SUPERUSER = false AND LOGIN = false");
    for (String role : List.of("lynk_messages", "lynk_cql_migrate")) {
      statements.add(
          "CREATE ROLE IF NOT EXISTS " + role + " WITH LOGIN = true AND PASSWORD = '" + password(role) + "'");
    }
    // Whoever makes a keyspace may change it, and may grant what it may: the migration gives lynk_messages its tables.
    statements.add("GRANT CREATE ON ALL KEYSPACES TO lynk_cql_migrate");
    // What lynk_messages must not reach, for the tests that try.
    statements.add(
        "CREATE KEYSPACE IF NOT EXISTS elsewhere WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
    statements.add("CREATE TABLE IF NOT EXISTS elsewhere.secrets (id int PRIMARY KEY, value text)");
    return statements;
  }

  private String password(String role) throws Exception {
    return Files.readString(passwords.resolve(role)).strip();
  }

  private void run(String user, String password, List<String> statements) {
    Cluster cluster =
        Cluster.builder()
            .addContactPoint("127.0.0.1")
            .withPort(port)
            .withSSL(tls)
            .withCredentials(user, password)
            .withProtocolVersion(ProtocolVersion.V5)
            .withoutJMXReporting()
            .withoutMetrics()
            .build();
    try {
      Session session = cluster.connect();
      for (String statement : statements) {
        session.execute(statement);
      }
    } finally {
      cluster.closeAsync();
    }
  }

  private static SSLOptions tls(Path folder) throws Exception {
    Certificate ca = certificate(folder.resolve("ca.crt"));
    KeyStore trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    trusted.setCertificateEntry("ca", ca);
    byte[] der =
        Base64.getMimeDecoder()
            .decode(Files.readString(folder.resolve(ADMIN + ".key")).replaceAll("-----[^-]+-----", ""));
    KeyStore own = KeyStore.getInstance("PKCS12");
    own.load(null, null);
    own.setKeyEntry(
        "client",
        KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(der)),
        new char[0],
        new Certificate[] {certificate(folder.resolve(ADMIN + ".crt"))});
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(own, new char[0]);
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(trusted);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    return RemoteEndpointAwareJdkSSLOptions.builder().withSSLContext(context).build();
  }

  private static Certificate certificate(Path file) throws Exception {
    return CertificateFactory.getInstance("X.509")
        .generateCertificate(new ByteArrayInputStream(Files.readAllBytes(file)));
  }
}
