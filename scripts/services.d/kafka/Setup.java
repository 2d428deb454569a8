import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import kafka.tools.StorageTool;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialAlteration;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/**
 * Prepares a Kafka broker. Passwords are read from files: arguments and environment can be seen by others.
 *
 * <p>Usage: Setup format PASSWORD_DIR ARGUMENT... formats the storage with Kafka's own tool, with the users that must exist before the
 * first start. Setup table PASSWORD_DIR CLIENT_PROPERTIES TABLE makes the topics, users and rights of a table; it may be repeated.
 */
public class Setup {
  private static final List<String> FIRST = List.of("kafka", "kafka_admin");

  public static void main(String[] args) throws Exception {
    Path passwords = Path.of(args[1]);
    switch (args[0]) {
      case "format":
        format(passwords, Arrays.copyOfRange(args, 2, args.length));
        break;
      case "table":
        table(passwords, Path.of(args[2]), Files.readAllLines(Path.of(args[3])));
        break;
      default:
        throw new IllegalArgumentException(args[0]);
    }
    Runtime.getRuntime().halt(0);
  }

  private static String password(Path passwords, String user) throws Exception {
    return Files.readString(passwords.resolve(user)).strip();
  }

  private static void format(Path passwords, String[] args) throws Exception {
    List<String> all = new ArrayList<>(List.of("format"));
    all.addAll(List.of(args));
    for (String user : FIRST) {
      all.add("--add-scram");
      all.add("SCRAM-SHA-512=[name=" + user + ",password=" + password(passwords, user) + "]");
    }
    StorageTool.main(all.toArray(new String[0]));
  }

  private static void table(Path passwords, Path properties, List<String> lines) throws Exception {
    Properties config = new Properties();
    try (var in = Files.newBufferedReader(properties)) {
      config.load(in);
    }
    List<NewTopic> topics = new ArrayList<>();
    List<UserScramCredentialAlteration> users = new ArrayList<>();
    List<AclBinding> rights = new ArrayList<>();
    for (String line : lines) {
      String[] word = line.strip().split("\\s+");
      switch (word[0]) {
        case "", "#" -> {}
        case "topic" -> topics.add(topic(word));
        case "user" ->
            users.add(
                new UserScramCredentialUpsertion(
                    word[1],
                    new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096),
                    password(passwords, word[1])));
        case "allow" -> rights.add(right(word));
        default -> throw new IllegalArgumentException("not a line of the table: " + line);
      }
    }
    try (Admin admin = Admin.create(config)) {
      admin.describeCluster().nodes().get();
      admin.alterUserScramCredentials(users).all().get();
      admin.createAcls(rights).all().get();
      for (NewTopic topic : topics) {
        create(admin, topic);
      }
    }
  }

  private static NewTopic topic(String[] word) {
    Map<String, String> settings = new HashMap<>();
    for (String setting : Arrays.copyOfRange(word, 3, word.length)) {
      String[] pair = setting.split("=", 2);
      settings.put(pair[0], pair[1]);
    }
    return new NewTopic(word[1], Optional.of(Integer.parseInt(word[2])), Optional.of((short) 1)).configs(settings);
  }

  private static AclBinding right(String[] word) {
    return new AclBinding(
        new ResourcePattern(
            ResourceType.fromString(word[3]), word[4], PatternType.valueOf(word[5].toUpperCase(Locale.ROOT))),
        new AccessControlEntry("User:" + word[1], "*", AclOperation.fromString(word[2]), AclPermissionType.ALLOW));
  }

  /** A broker answers a moment before it takes replicas, so that refusal is tried again. */
  private static void create(Admin admin, NewTopic topic) throws Exception {
    long deadline = System.nanoTime() + 60_000_000_000L;
    while (true) {
      try {
        admin.createTopics(List.of(topic)).all().get();
        return;
      } catch (ExecutionException e) {
        if (e.getCause() instanceof TopicExistsException) {
          return;
        }
        if (!(e.getCause() instanceof InvalidReplicationFactorException) || System.nanoTime() > deadline) {
          throw e;
        }
        Thread.sleep(100);
      }
    }
  }
}
