package canned

// The words that repeat in payloads, most frequent first.
var (
	events     = []string{"page_view", "product_view", "scroll", "click", "add_to_cart", "search", "wishlist", "remove_from_cart", "checkout", "purchase"}
	methods    = []string{"GET", "GET", "POST", "PUT", "DELETE"}
	statuses   = []int{200, 200, 200, 304, 404, 301, 500}
	sections   = []string{"women", "men", "kids", "home", "garden", "sale", "new-in", "outdoor", "electronics", "books", "toys", "beauty"}
	sources    = []string{"newsletter", "google", "direct", "facebook", "partner", "affiliate", "tiktok"}
	referrers  = []string{"", "https://www.google.com/", "https://shop.example.com/", "https://www.bing.com/", "https://news.example.org/deals/weekly", "https://duckduckgo.com/"}
	currencies = []string{"EUR", "USD", "KRW", "GBP", "JPY"}
	consents   = []string{"necessary", "analytics", "marketing", "preferences"}
	variants   = []string{"control", "b", "c", "holdout"}
	widths     = []int{1920, 1536, 1440, 1366, 2560, 390, 412, 360}
	actions    = []string{"opened", "synchronize", "closed", "fix", "add", "remove", "rename", "refactor"}
	adjectives = []string{"amber", "brave", "calm", "dusty", "eager", "faded", "gentle", "hollow", "icy", "jolly", "keen", "lunar", "mellow", "noble", "olive", "plain", "quiet", "rustic", "solid", "tidy"}
	nouns      = []string{"anchor", "basket", "candle", "drawer", "engine", "folder", "garden", "hammer", "island", "jacket", "kettle", "ladder", "mirror", "needle", "orchid", "pillow", "quiver", "ribbon", "saddle", "tunnel"}
	links      = []string{"archives", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compares", "contents", "contributors", "deployments", "downloads", "events", "forks", "hooks", "issues", "keys", "labels", "languages", "merges", "milestones", "notifications", "pulls", "releases", "stargazers", "statuses", "subscribers", "tags", "teams", "trees"}
	userLinks  = []string{"events", "followers", "following", "gists", "organizations", "received_events", "repos", "starred", "subscriptions"}
	places     = [][2]string{
		{"Asia/Seoul", "ko-KR"},
		{"America/New_York", "en-US"},
		{"Europe/Berlin", "de-DE"},
		{"America/Los_Angeles", "en-US"},
		{"Asia/Tokyo", "ja-JP"},
		{"Europe/London", "en-GB"},
		{"Europe/Paris", "fr-FR"},
		{"America/Sao_Paulo", "pt-BR"},
	}
	agents = []string{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Linux; Android 16; SM-S938N) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Safari/605.1.15",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
		"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
	}
)
