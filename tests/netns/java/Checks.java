import com.azure.core.credential.TokenRequestContext;
import com.azure.identity.ManagedIdentityCredential;
import com.azure.identity.ManagedIdentityCredentialBuilder;
import com.azure.security.keyvault.secrets.SecretClient;
import com.azure.security.keyvault.secrets.SecretClientBuilder;
import java.util.Arrays;
import java.util.stream.Collectors;

/** The Java SDK's part: one line for each check, in the words that judge.py reads. */
final class Checks {
    private static final String ARM = "https://management.azure.com";
    private static final String VAULT = "https://vault.azure.net";

    private static void line(String... fields) {
        System.out.println(Arrays.stream(fields)
            .map(field -> field.replaceAll("[\t\r\n]", " "))
            .collect(Collectors.joining("\t")));
    }

    private static String env(String name) {
        String value = System.getenv(name);
        if (value == null) {
            throw new IllegalStateException("run.sh sets " + name);
        }
        return value;
    }

    /** The error and what caused it: the SDK says what the broker answered further down. */
    private static String explain(Throwable error) {
        StringBuilder text = new StringBuilder(error.toString());
        for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
            text.append(": ").append(cause);
        }
        return text.toString();
    }

    private static ManagedIdentityCredentialBuilder system() {
        return new ManagedIdentityCredentialBuilder();
    }

    private static ManagedIdentityCredentialBuilder client(String name) {
        return system().clientId(env(name));
    }

    private static ManagedIdentityCredentialBuilder object(String name) {
        return system().objectId(env(name));
    }

    private static ManagedIdentityCredentialBuilder resource(String name) {
        return system().resourceId(env(name));
    }

    private static String ask(String audience, ManagedIdentityCredentialBuilder builder) {
        ManagedIdentityCredential credential = builder.build();
        TokenRequestContext scopes = new TokenRequestContext().addScopes(audience + "/.default");
        return credential.getTokenSync(scopes).getToken();
    }

    private static String read(String name, ManagedIdentityCredentialBuilder builder) {
        SecretClient client = new SecretClientBuilder()
            .vaultUrl(env("VAULT_URL"))
            .credential(builder.build())
            .buildClient();
        return client.getSecret(name).getValue();
    }

    private static void token(
        String sentence, String who, String audience, ManagedIdentityCredentialBuilder builder) {
        try {
            line("token", sentence, who, audience, ask(audience, builder));
        } catch (RuntimeException error) {
            line("failed", sentence, explain(error));
        }
    }

    private static void noToken(String sentence, ManagedIdentityCredentialBuilder builder) {
        try {
            ask(VAULT, builder);
            line("failed", sentence, "it was given a token");
        } catch (RuntimeException error) {
            line("refused", sentence, "Identity not found", explain(error));
        }
    }

    private static void secret(
        String sentence, String name, ManagedIdentityCredentialBuilder builder) {
        try {
            line("secret", sentence, name, read(name, builder));
        } catch (RuntimeException error) {
            line("failed", sentence, explain(error));
        }
    }

    private static void noSecret(
        String sentence, String name, ManagedIdentityCredentialBuilder builder) {
        try {
            read(name, builder);
            line("failed", sentence, "it was given the secret");
        } catch (RuntimeException error) {
            line("refused", sentence, "Forbidden", explain(error));
        }
    }

    public static void main(String[] args) {
        token("a token of the system-assigned identity", "system", ARM, system());
        token("a token by client id", "own", VAULT, client("OWN_CLIENT_ID"));
        token("a token by object id", "own", VAULT, object("OWN_OBJECT_ID"));
        token("a token by resource id", "own", VAULT, resource("OWN_RESOURCE_ID"));
        token("a token of the shared identity", "shared", ARM, client("SHARED_CLIENT_ID"));
        noToken("no token by the other VM's client id", client("OTHER_CLIENT_ID"));
        noToken("no token by the other VM's object id", object("OTHER_OBJECT_ID"));
        noToken("no token by the other VM's resource id", resource("OTHER_RESOURCE_ID"));

        if (System.getenv("VAULT_URL") != null) {
            String own = env("OWN_SECRET");
            String other = env("OTHER_SECRET");
            String common = env("SHARED_SECRET");
            secret("the system-assigned identity reads its secret", own, system());
            secret("the user-assigned identity reads its secret", own, client("OWN_CLIENT_ID"));
            secret("the shared identity reads its secret", common, client("SHARED_CLIENT_ID"));
            noSecret("the system-assigned identity is refused the other VM's secret",
                other, system());
            noSecret("the user-assigned identity is refused the other VM's secret",
                other, client("OWN_CLIENT_ID"));
            noSecret("the shared identity is refused the VM's own secret",
                own, client("SHARED_CLIENT_ID"));
        }
        // The SDK's threads would keep the process for a while.
        System.exit(0);
    }
}
