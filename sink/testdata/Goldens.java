import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.TimeZone;
import java.util.TreeSet;

/**
 * Writes what Java's own DateTimeFormatter prints: testdata/patterns.golden for the tests and zones.tsv for the
 * letters z and v. Run with Java 17 in the folder sink: java testdata/Goldens.java
 */
public class Goldens {
    static final String[] ZONES = {
        "UTC", "Europe/Berlin", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Sao_Paulo",
        "Asia/Calcutta", "Asia/Katmandu", "Asia/Tokyo", "Australia/Lord_Howe", "Pacific/Chatham", "Africa/Monrovia",
        "Europe/Kiev", "Asia/Kabul", "Antarctica/Troll",
    };
    static final String[] TIMES = {
        "2026-07-13T14:05:09Z", "2024-12-29T00:00:00Z", "2024-12-31T23:59:59Z", "2025-01-01T00:00:00Z",
        "2018-12-30T05:06:07Z", "2024-02-29T12:00:00Z", "2024-02-29T12:01:00Z", "2021-01-02T21:30:00Z",
        "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-10-25T00:59:59Z", "2026-10-25T01:00:00Z",
        "2026-11-01T05:59:59Z", "2026-11-01T06:00:00Z", "2022-05-31T17:45:00Z", "2000-09-06T03:04:05Z",
    };

    static List<String> patterns() {
        List<String> p = new ArrayList<>();
        for (char c = 'A'; c <= 'z'; c++) {
            if (c > 'Z' && c < 'a') {
                continue;
            }
            for (int n = 1; n <= 23; n++) {
                p.add(String.valueOf(c).repeat(n));
            }
        }
        p.addAll(List.of(
            "yyyy/MM/dd/HH/", "'year='yyyy'/month='MM'/day='dd'/hour='HH/", "YYYY/MM/dd", "yyyy-MM-dd'T'HH:mm:ss",
            "EEEE, d MMMM yyyy h:mm a", "''yyyy''", "'it''s' yyyy", "'", "'abc", "abc", "yyyy{", "yyyy}", "yyyy#",
            "[yyyy]", "[[yyyy]MM", "[yyyy]]", "]", "ppH", "pppH", "ppHH", "pH", "p", "pp", "pp/H", "p[H]", "pppppMMM",
            "ppppppppppMMMM", "pppppppppppEEEE", "dd-MM-yyyy HH:mm:ss VV", "hh K kk a B", "xxx XXX ZZZZZ O", "", "-",
            "yyyyMMddHHmmss", "wW", "e c EEE", "QQQ-qqq-QQQQ", "SSS.nnn", "D/DDD", "G yyyy GGGG", "'/'", "yyyy'/'MM",
            "yyyy é dd", "YYYY-'W'ww-e", "uuuu-MM", "h:mm B"));
        return p;
    }

    public static void main(String[] args) throws Exception {
        try (PrintWriter out = new PrintWriter("testdata/patterns.golden", StandardCharsets.UTF_8)) {
            for (String p : patterns()) {
                DateTimeFormatter f;
                try {
                    f = DateTimeFormatter.ofPattern(p, Locale.US);
                } catch (IllegalArgumentException e) {
                    out.print(p + "\trefused\n");
                    continue;
                }
                // Every zone for the letters of zones and for some whole patterns, UTC and every time for the rest.
                boolean zoned = p.length() <= 5 && "OVXZvxzHBYw".indexOf((p + " ").charAt(0)) >= 0 || p.length() > 20 && p.contains("/");
                boolean odd = p.length() > 5 && p.chars().distinct().count() == 1;
                for (int z = 0; z < ZONES.length; z++) {
                    for (int t = 0; t < TIMES.length; t++) {
                        if (!zoned && z > 0 || zoned && z > 0 && (z * 7 + t) % 3 != 0 || odd && t > 2) {
                            continue;
                        }
                        ZonedDateTime at = Instant.parse(TIMES[t]).atZone(ZoneId.of(ZONES[z]));
                        String text;
                        try {
                            text = "=" + f.format(at);
                        } catch (RuntimeException e) {
                            text = "fails";
                        }
                        out.print(p + "\t" + ZONES[z] + "\t" + TIMES[t] + "\t" + text + "\n");
                    }
                }
            }
        }
        try (PrintWriter out = new PrintWriter("zones.tsv", StandardCharsets.UTF_8)) {
            DateTimeFormatter shortly = DateTimeFormatter.ofPattern("v", Locale.US);
            DateTimeFormatter fully = DateTimeFormatter.ofPattern("vvvv", Locale.US);
            for (String id : new TreeSet<>(ZoneId.getAvailableZoneIds())) {
                if (!id.equals("UTC")
                    && !id.matches("(Africa|America|Antarctica|Asia|Atlantic|Australia|Europe|Indian|Pacific)/.*")) {
                    continue;
                }
                TimeZone z = TimeZone.getTimeZone(id);
                ZonedDateTime at = Instant.parse(TIMES[0]).atZone(ZoneId.of(id));
                out.print(String.join("\t", id,
                    z.getDisplayName(false, TimeZone.SHORT, Locale.US), z.getDisplayName(false, TimeZone.LONG, Locale.US),
                    z.getDisplayName(true, TimeZone.SHORT, Locale.US), z.getDisplayName(true, TimeZone.LONG, Locale.US),
                    shortly.format(at), fully.format(at)) + "\n");
            }
        }
    }
}
