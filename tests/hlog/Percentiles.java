import java.io.File;
import java.util.Map;
import java.util.TreeMap;
import org.HdrHistogram.EncodableHistogram;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.HistogramLogReader;

/**
 * Prints what the HdrHistogram library reads in interval logs: for each file and tag, and for all tags
 * of a file together (`*`), the count, percentiles and the maximum in nanoseconds, tabs between.
 */
public final class Percentiles {
    private static final double[] SHARES = {50.0, 90.0, 99.0, 99.9};

    public static void main(String[] files) throws Exception {
        for (String name : files) {
            Map<String, Histogram> tags = new TreeMap<>();
            try (HistogramLogReader reader = new HistogramLogReader(new File(name))) {
                while (reader.hasNext()) {
                    EncodableHistogram interval = reader.nextIntervalHistogram();
                    add(tags, interval.getTag(), (Histogram) interval);
                    add(tags, "*", (Histogram) interval);
                }
            }
            tags.forEach((tag, histogram) -> print(name, tag, histogram));
        }
    }

    private static void add(Map<String, Histogram> tags, String tag, Histogram interval) {
        tags.computeIfAbsent(tag, unseen -> new Histogram(3)).add(interval);
    }

    private static void print(String name, String tag, Histogram histogram) {
        StringBuilder line = new StringBuilder(new File(name).getName());
        line.append('\t').append(tag).append('\t').append(histogram.getTotalCount());
        for (double share : SHARES) {
            line.append('\t').append(histogram.getValueAtPercentile(share));
        }
        System.out.println(line.append('\t').append(histogram.getMaxValue()));
    }
}
