// What JSON holds, for whoever checks the types of these scripts; no browser reads this.
type JsonObject = { [name: string]: Json };
type Json = null | boolean | number | string | Json[] | JsonObject;
