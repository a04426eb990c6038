import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.io.compress.SnappyCodec;
import org.xerial.snappy.SnappyOutputStream;

/** Encode CODEC IN OUT: every file below IN becomes one below OUT, by snappy-java's stream or by Hadoop's own codec. */
public class Encode {
  public static void main(String[] args) throws Exception {
    Path source = Path.of(args[1]), target = Path.of(args[2]);
    SnappyCodec hadoop = new SnappyCodec();
    hadoop.setConf(new Configuration(false));
    List<Path> files;
    try (var walk = Files.walk(source)) {
      files = walk.filter(Files::isRegularFile).collect(Collectors.toList());
    }
    for (Path file : files) {
      Path to = target.resolve(source.relativize(file) + ".snappy");
      Files.createDirectories(to.getParent());
      try (OutputStream raw = Files.newOutputStream(to);
          OutputStream out = args[0].equals("hadoop-snappy") ? hadoop.createOutputStream(raw) : new SnappyOutputStream(raw)) {
        out.write(Files.readAllBytes(file));
      }
    }
  }
}
