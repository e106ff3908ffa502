import jsdoc from "eslint-plugin-jsdoc";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["build/", "dist/", "src/gen/", "eslint.config.js"] },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: { project: ["src/tsconfig.json", "tsconfig.json"] },
    },
    rules: {
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/switch-exhaustiveness-check": "off",
      "no-console": "error",
      eqeqeq: "error",
    },
  },
  {
    files: ["src/**"],
    extends: [jsdoc.configs["flat/recommended-typescript-error"]],
    rules: {
      "jsdoc/require-jsdoc": [
        "error",
        {
          publicOnly: true,
          checkGetters: true,
          contexts: [
            "ExportNamedDeclaration > TSInterfaceDeclaration",
            "ExportNamedDeclaration > TSTypeAliasDeclaration",
            "ExportNamedDeclaration > VariableDeclaration",
            "TSInterfaceDeclaration TSPropertySignature",
            "TSInterfaceDeclaration TSMethodSignature",
            "ClassDeclaration > ClassBody > PropertyDefinition[key.type!='PrivateIdentifier'][override!=true]",
            "ClassDeclaration > ClassBody > MethodDefinition[key.type!='PrivateIdentifier'][override!=true]",
          ],
        },
      ],
      // Types say most of it, and sentences the rest; a tag that repeats a name tells nothing.
      "jsdoc/require-returns": "off",
      "jsdoc/require-param": "off",
      "jsdoc/require-yields": "off",
      "jsdoc/require-throws-type": "off",
      "jsdoc/tag-lines": ["error", "never", { startLines: 1 }],
    },
  },
  {
    files: ["examples/**"],
    rules: { "no-console": "off" },
  },
  {
    files: ["test/**"],
    // A test's promise is node:test's to wait for.
    rules: { "@typescript-eslint/no-floating-promises": "off" },
  },
);
