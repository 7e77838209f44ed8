// Sends messages with com.segment.analytics.kotlin: KotlinSdk SERVER KEY COUNT

import com.segment.analytics.kotlin.core.Analytics;
import com.segment.analytics.kotlin.core.BaseEvent;
import com.segment.analytics.kotlin.core.Configuration;
import com.segment.analytics.kotlin.core.RequestFactory;
import com.segment.analytics.kotlin.core.Storage;
import com.segment.analytics.kotlin.core.StorageProvider;
import com.segment.analytics.kotlin.core.compat.ConfigurationBuilder;
import com.segment.analytics.kotlin.core.compat.JavaAnalytics;
import com.segment.analytics.kotlin.core.platform.policies.FlushPolicy;
import com.segment.analytics.kotlin.core.utilities.FileEventStream;
import com.segment.analytics.kotlin.core.utilities.PropertiesFile;
import com.segment.analytics.kotlin.core.utilities.StorageImpl;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.net.HttpURLConnection;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import kotlin.Unit;
import kotlinx.coroutines.CoroutineDispatcher;
import sovran.kotlin.Store;

class KotlinSdk {
  public static void main(String[] args) throws InterruptedException, IOException {
    PrintStream out = System.out;
    System.setOut(System.err); // the SDK writes to it
    String host = args[0].replaceFirst("^http://", "") + "/v1";
    int count = Integer.parseInt(args[2]);
    File events = Files.createTempDirectory("kotlin-sdk").toFile();
    events.deleteOnExit();
    CountDownLatch unwritten = new CountDownLatch(count + 2);
    AtomicInteger failed = new AtomicInteger();
    Configuration configuration = new ConfigurationBuilder(args[1])
        .setApplication("test")
        .setApiHost(host)
        .setCdnHost(host)
        .setRequestFactory(new Plain())
        .build();
    configuration.setStorageProvider(new In(events));
    configuration.setFlushPolicies(List.of(new Pairs(unwritten)));
    configuration.setErrorHandler(why -> {
      System.err.println(why);
      if (String.valueOf(why.getMessage()).startsWith("Batch dropped")) {
        failed.incrementAndGet();
      }
      return Unit.INSTANCE;
    });
    JavaAnalytics analytics = new JavaAnalytics(configuration);
    analytics.identify("jane@example.com", Map.of("plan", "pro"));
    // Until the SDK has its settings, it keeps events in memory. If one is tracked
    // at the moment when it lets them go, it may lose it.
    int left = count + 2;
    await(unwritten, --left, events);
    for (int n = 0; n < count; n++) {
      analytics.track("step", Map.of("n", n));
      await(unwritten, --left, events);
      if (n == 4) {
        analytics.track("x".repeat(300));
        await(unwritten, --left, events);
      }
    }
    while (events.list().length > 0) { // a file is removed once it is sent, or dropped
      analytics.flush();
      Thread.sleep(100);
    }
    out.println("failed: " + failed);
    System.exit(0);
  }

  /**
   * Waits until only so many events are not in a file, and each two have a file of
   * their own: events that wait in one file are sent as one batch.
   */
  static void await(CountDownLatch unwritten, int left, File events) throws InterruptedException {
    while (unwritten.getCount() > left || left % 2 == 0 && events.list((dir, name) -> name.endsWith(".tmp")).length > 0) {
      Thread.sleep(10);
    }
  }

  /** The tests' server has no certificate, and the SDK asks for https only. */
  static class Plain extends RequestFactory {
    @Override
    public HttpURLConnection openConnection(String url) {
      return super.openConnection(url.replaceFirst("^https:", "http:"));
    }
  }

  /** Sends a batch of every two events. Counts events down once they are in a file. */
  static class Pairs implements FlushPolicy {
    private final CountDownLatch unwritten;
    private int waiting;

    Pairs(CountDownLatch unwritten) {
      this.unwritten = unwritten;
    }

    @Override
    public void updateState(BaseEvent event) {
      waiting++;
      unwritten.countDown();
    }

    @Override
    public boolean shouldFlush() {
      return waiting >= 2;
    }

    @Override
    public void reset() {
      waiting = 0;
    }

    @Override
    public void schedule(Analytics analytics) {}

    @Override
    public void unschedule() {}
  }

  /** Storage in a directory, of a device with an id. The SDK's own is always in the same directory. */
  record In(File events) implements StorageProvider {
    @Override
    public Storage createStorage(Object... parameters) {
      Analytics a = (Analytics) parameters[0];
      PropertiesFile properties = new PropertiesFile(new File(events + ".properties"));
      properties.getFile().deleteOnExit();
      properties.put(Storage.Constants.AnonymousId.getRawVal(), "a-1");
      return new StorageImpl(properties, new FileEventStream(events), a.getStore(), a.getConfiguration().getWriteKey(), "index",
          a.getFileIODispatcher());
    }

    @Override
    @Deprecated
    public Storage getStorage(Analytics analytics, Store store, String key, CoroutineDispatcher dispatcher, Object application) {
      return createStorage(analytics);
    }
  }
}
