// The Go SDK's part: one line for each check, in the words that judge.py reads.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

const (
	arm   = "https://management.azure.com"
	vault = "https://vault.azure.net"
)

var flat = strings.NewReplacer("\t", " ", "\r", " ", "\n", " ")

func line(fields ...string) {
	for i, field := range fields {
		fields[i] = flat.Replace(field)
	}
	fmt.Println(strings.Join(fields, "\t"))
}

func env(name string) string {
	value := os.Getenv(name)
	if value == "" {
		panic("run.sh sets " + name)
	}
	return value
}

func credential(id azidentity.ManagedIDKind) (*azidentity.ManagedIdentityCredential, error) {
	return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: id})
}

func ask(audience string, id azidentity.ManagedIDKind) (string, error) {
	credential, err := credential(id)
	if err != nil {
		return "", err
	}
	scopes := policy.TokenRequestOptions{Scopes: []string{audience + "/.default"}}
	token, err := credential.GetToken(context.Background(), scopes)
	return token.Token, err
}

func read(name string, id azidentity.ManagedIDKind) (string, error) {
	credential, err := credential(id)
	if err != nil {
		return "", err
	}
	client, err := azsecrets.NewClient(env("VAULT_URL"), credential, nil)
	if err != nil {
		return "", err
	}
	answer, err := client.GetSecret(context.Background(), name, "", nil)
	if err != nil {
		return "", err
	}
	return *answer.Value, nil
}

func token(sentence, who, audience string, id azidentity.ManagedIDKind) {
	if token, err := ask(audience, id); err != nil {
		line("failed", sentence, err.Error())
	} else {
		line("token", sentence, who, audience, token)
	}
}

func noToken(sentence string, id azidentity.ManagedIDKind) {
	if _, err := ask(vault, id); err != nil {
		line("refused", sentence, "Identity not found", err.Error())
	} else {
		line("failed", sentence, "it was given a token")
	}
}

func secret(sentence, name string, id azidentity.ManagedIDKind) {
	if value, err := read(name, id); err != nil {
		line("failed", sentence, err.Error())
	} else {
		line("secret", sentence, name, value)
	}
}

func noSecret(sentence, name string, id azidentity.ManagedIDKind) {
	if _, err := read(name, id); err != nil {
		line("refused", sentence, "Forbidden", err.Error())
	} else {
		line("failed", sentence, "it was given the secret")
	}
}

func main() {
	byClient := azidentity.ClientID(env("OWN_CLIENT_ID"))
	byObject := azidentity.ObjectID(env("OWN_OBJECT_ID"))
	byResource := azidentity.ResourceID(env("OWN_RESOURCE_ID"))
	shared := azidentity.ClientID(env("SHARED_CLIENT_ID"))

	token("a token of the system-assigned identity", "system", arm, nil)
	token("a token by client id", "own", vault, byClient)
	token("a token by object id", "own", vault, byObject)
	token("a token by resource id", "own", vault, byResource)
	token("a token of the shared identity", "shared", arm, shared)
	noToken("no token by the other VM's client id", azidentity.ClientID(env("OTHER_CLIENT_ID")))
	noToken("no token by the other VM's object id", azidentity.ObjectID(env("OTHER_OBJECT_ID")))
	noToken("no token by the other VM's resource id", azidentity.ResourceID(env("OTHER_RESOURCE_ID")))

	if os.Getenv("VAULT_URL") == "" {
		return
	}
	own, other := env("OWN_SECRET"), env("OTHER_SECRET")
	secret("the system-assigned identity reads its secret", own, nil)
	secret("the user-assigned identity reads its secret", own, byClient)
	secret("the shared identity reads its secret", env("SHARED_SECRET"), shared)
	noSecret("the system-assigned identity is refused the other VM's secret", other, nil)
	noSecret("the user-assigned identity is refused the other VM's secret", other, byClient)
	noSecret("the shared identity is refused the VM's own secret", own, shared)
}
