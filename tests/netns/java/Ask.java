import com.azure.core.credential.TokenRequestContext;
import com.azure.identity.ManagedIdentityCredentialBuilder;

/** Asks for one token as most programs do, and prints what came of it as one line of JSON. */
final class Ask {
    private static String quoted(String text) {
        return '"' + text.replaceAll("[\\\\\"\\p{Cntrl}]", " ") + '"';
    }

    public static void main(String[] args) {
        long began = System.nanoTime();
        String error = "null";
        try {
            new ManagedIdentityCredentialBuilder().build()
                .getTokenSync(new TokenRequestContext().addScopes("https://vault.azure.net/.default"));
        } catch (Exception failed) {
            error = quoted(failed.getClass().getSimpleName() + ": " + failed.getMessage());
        }
        double seconds = (System.nanoTime() - began) / 1e9;
        System.out.printf("{\"error\": %s, \"seconds\": %f}%n", error, seconds);
        System.exit(0);
    }
}
