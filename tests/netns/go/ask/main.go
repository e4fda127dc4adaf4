// Asks for one token as most programs do, and prints what came of it as one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func ask() error {
	credential, err := azidentity.NewManagedIdentityCredential(nil)
	if err != nil {
		return err
	}
	scopes := policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}}
	_, err = credential.GetToken(context.Background(), scopes)
	return err
}

func main() {
	began := time.Now()
	result := map[string]any{"error": nil}
	if err := ask(); err != nil {
		result["error"] = fmt.Sprintf("%T: %s", err, err)
	}
	result["seconds"] = time.Since(began).Seconds()
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		panic(err)
	}
}
